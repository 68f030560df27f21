/**
 * What is compared: the log with the rules; logs with manifest and card; the ledger with the log; the chain
 * of runs; the signatures of manifests.
 */
export type Step = 'rules' | 'logs' | 'ledger' | 'chain' | 'signature'

/** A value as it is shown: a text, a number, or null for nothing. */
export type Value = string | number | boolean | null

/** One value that is not what it must be. */
export type Difference = {
  readonly step: Step
  readonly userId: string | null
  /** A table of the ledger, or an object of the bucket. */
  readonly where: string
  /** The row's primary key, or the place in a line; null for the whole. */
  readonly row: string | null
  readonly column: string
  readonly expected: Value
  readonly found: Value
  /** The later run of this job that wrote what was found. */
  readonly explainedBy: string | null
}

export const DIFFERENCES_SHOWN = 200

/** Differences as they are found: the first ones and how many there are, so that memory stays bounded. */
export type Findings = {
  readonly shown: Difference[]
  unexplained: number
  /** Differences that a later run explains, by run. */
  readonly explained: Map<string, number>
}

export function noFindings(): Findings {
  return { shown: [], unexplained: 0, explained: new Map() }
}

export function addDifference(findings: Findings, difference: Difference): void {
  if (difference.explainedBy !== null) {
    findings.explained.set(difference.explainedBy, (findings.explained.get(difference.explainedBy) ?? 0) + 1)
    return
  }
  findings.unexplained += 1
  if (findings.shown.length < DIFFERENCES_SHOWN) findings.shown.push(difference)
}

/** The value as a difference shows it; what is no simple value is shown as JSON, cut where it is long. */
export function shownValue(value: unknown): Value {
  if (value === undefined) return null
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' || value === null)
    return value
  const json = JSON.stringify(value)
  return json.length > MOST_CHARACTERS ? `${json.slice(0, MOST_CHARACTERS)}…` : json
}

const MOST_CHARACTERS = 300

/** Where two JSON values differ, as paths like `credits[2].expired_microdollars`. */
export function pathsOfDifference(
  expected: unknown,
  found: unknown,
  path = '',
): { readonly path: string; readonly expected: Value; readonly found: Value }[] {
  if (Object.is(expected, found)) return []
  if (isComposite(expected) && isComposite(found) && Array.isArray(expected) === Array.isArray(found)) {
    const keys = new Set([...Object.keys(expected), ...Object.keys(found)])
    return [...keys].flatMap((key) =>
      pathsOfDifference(
        Reflect.get(expected, key),
        Reflect.get(found, key),
        Array.isArray(expected) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`,
      ),
    )
  }
  return [{ path, expected: shownValue(expected), found: shownValue(found) }]
}

function isComposite(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
