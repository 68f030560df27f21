import { type Cursor, readCursor } from '../archive/cursor.ts'
import { readLog } from '../archive/logs.ts'
import type { Run } from '../archive/runs.ts'
import { stateOf } from '../archive/state.ts'
import { RunRefused } from '../errors.ts'
import { dollars } from '../exit-card.ts'
import { add } from '../rules/amounts.ts'
import { type ComparedLine, comparedSchema, type Pair, pairUsers, TooDifferent } from '../run/lines/pairs.ts'
import { knownRun } from '../run/known-run.ts'
import type { Tools } from '../run/tools.ts'

/** More differences than this are counted and not listed. */
const MOST_DIFFERENCES = 200
/** Of one user, this many grants are listed. */
const MOST_GRANTS = 20

type What = 'new' | 'gone' | 'changed'
type Counts = Record<What, number>
/** Null where that run does not have it. */
type Both<T> = { readonly first: T | null; readonly second: T | null }

/** One grant that differs; amounts in microdollars, null where it would not be closed. */
export type GrantDifference = {
  readonly what: What
  readonly id: string
  readonly category: string | null
  readonly amountMicrodollars: number
  readonly expiredMicrodollars: Both<number>
}

/** One user who differs, with the grants that do. */
export type UserDifference = {
  readonly what: What
  readonly userId: string
  readonly email: string | null
  readonly outcome: Both<string>
  readonly expiredMicrodollars: Both<number>
  readonly duePaidMicrodollars: Both<number>
  readonly correctionMicrodollars: Both<number>
  readonly grants: readonly GrantDifference[]
  readonly grantsOmitted: number
}

/**
 * What `{"diff": [first, second]}` answers: what the second run has, compared with the first. Never stored.
 */
export type DiffAnswer = {
  readonly answer: 'diff'
  readonly result: 'same' | 'different'
  readonly runIds: readonly [string, string]
  readonly users: Readonly<Counts>
  readonly grants: Readonly<Counts>
  readonly expiredMicrodollars: {
    readonly first: number
    readonly second: number
    readonly difference: number
  }
  readonly expired: { readonly first: string; readonly second: string; readonly difference: string }
  readonly differences: readonly UserDifference[]
  readonly differencesOmitted: number
  readonly next: { readonly text: string; readonly payload: Record<string, unknown> }
}

/**
 * Compares two closed dry runs, or a dry run and an execute, user by user and grant by grant, with one page
 * of each in memory. Users without a targeted grant in both are the same.
 * @throws RunRefused, ArchiveCorrupt, ArchiveUnavailable
 */
export async function diff(runIds: readonly [string, string], tools: Tools): Promise<DiffAnswer> {
  const [first, second] = await Promise.all(runIds.map(async (runId) => comparable(runId, tools)))
  if (!first || !second) throw new Error('A diff is of two runs.')
  const found = emptyDiff()
  try {
    for await (const pair of pairUsers(usersOf(first, tools), usersOf(second, tools))) addPair(found, pair)
  } catch (error) {
    if (!(error instanceof TooDifferent)) throw error
    throw new RunRefused(
      `${runIds.join(' and ')} cannot be compared: ${error.message}. Nothing was done. Compare runs of the same selection.`,
      { cause: error },
    )
  }
  const difference = found.second - found.first
  const differing = found.users.new + found.users.gone + found.users.changed
  return {
    answer: 'diff',
    result: differing === 0 ? 'same' : 'different',
    runIds,
    users: found.users,
    grants: found.grants,
    expiredMicrodollars: { first: found.first, second: found.second, difference },
    expired: {
      first: dollars(found.first),
      second: dollars(found.second),
      difference: dollars(difference),
    },
    differences: found.differences,
    differencesOmitted: differing - found.differences.length,
    next: { text: 'see the card of the second run, with its own next step', payload: { status: runIds[1] } },
  }
}

type Comparable = { readonly run: Run; readonly cursor: Cursor }

async function comparable(runId: string, tools: Tools): Promise<Comparable> {
  const refused = (why: string): RunRefused =>
    new RunRefused(`Run ${runId} cannot be compared: ${why}. Nothing was done.`)
  const run = await knownRun(runId, tools)
  if (run.mode !== 'dry-run' && run.mode !== 'execute')
    throw refused(`its mode is ${run.mode}, and a diff compares dry runs and executes`)
  const state = await stateOf(tools.store, run)
  if (state.is === 'open')
    throw refused(
      `it is open. Finish it with {"resume": "${runId}"}, or stop it with {"cancel": "${runId}"}, first`,
    )
  if (state.is !== 'closed') throw refused('it was never opened, so it has no log')
  return { run, cursor: (await readCursor(tools.store, runId)).document }
}

function usersOf({ run, cursor }: Comparable, { store }: Tools): AsyncGenerator<ComparedLine> {
  return readLog(store, run.runId, 'users', cursor.pages, comparedSchema)
}

type Found = {
  readonly users: Counts
  readonly grants: Counts
  first: number
  second: number
  readonly differences: UserDifference[]
}

function emptyDiff(): Found {
  const none = { new: 0, gone: 0, changed: 0 }
  return { users: { ...none }, grants: { ...none }, first: 0, second: 0, differences: [] }
}

function addPair(found: Found, { first, second }: Pair): void {
  found.first = add(found.first, first?.expired_microdollars ?? 0)
  found.second = add(found.second, second?.expired_microdollars ?? 0)
  const grants = grantDifferences(targetedOf(first), targetedOf(second))
  for (const { what } of grants) found.grants[what] += 1
  const what = whatOf(first, second, grants)
  if (what === null) return
  found.users[what] += 1
  if (found.differences.length === MOST_DIFFERENCES) return
  const both = <T>(value: (line: ComparedLine) => T): Both<T> => ({
    first: first && value(first),
    second: second && value(second),
  })
  found.differences.push({
    what,
    userId: second?.user_id ?? first?.user_id ?? '',
    email: second?.email ?? first?.email ?? null,
    outcome: both(({ outcome }) => outcome),
    expiredMicrodollars: both((line) => line.expired_microdollars),
    duePaidMicrodollars: both((line) => line.due_paid_microdollars),
    correctionMicrodollars: both((line) => line.correction_microdollars),
    grants: grants.slice(0, MOST_GRANTS),
    grantsOmitted: Math.max(0, grants.length - MOST_GRANTS),
  })
}

/** A user is in a run where it found a targeted grant; null where nothing differs. */
function whatOf(
  first: ComparedLine | null,
  second: ComparedLine | null,
  grants: readonly GrantDifference[],
): What | null {
  if (!isIn(first) && !isIn(second)) return null
  if (!isIn(first)) return 'new'
  if (!isIn(second)) return 'gone'
  const isSame =
    grants.length === 0 &&
    first?.outcome === second?.outcome &&
    first?.due_paid_microdollars === second?.due_paid_microdollars &&
    first?.correction_microdollars === second?.correction_microdollars
  return isSame ? null : 'changed'
}

function isIn(line: ComparedLine | null): boolean {
  return targetedOf(line).size > 0
}

type Grant = ComparedLine['credits'][number]

function targetedOf(line: ComparedLine | null): Map<string, Grant> {
  return new Map((line?.credits ?? []).filter(({ targeted }) => targeted).map((grant) => [grant.id, grant]))
}

function grantDifferences(
  first: ReadonlyMap<string, Grant>,
  second: ReadonlyMap<string, Grant>,
): GrantDifference[] {
  return [...new Set([...first.keys(), ...second.keys()])].flatMap((id) => {
    const before = first.get(id)
    const after = second.get(id)
    const grant = after ?? before
    const expired = {
      first: before?.expired_microdollars ?? null,
      second: after?.expired_microdollars ?? null,
    }
    const what: What = !before ? 'new' : after ? 'changed' : 'gone'
    if (!grant || (what === 'changed' && expired.first === expired.second)) return []
    return {
      what,
      id,
      category: grant.credit_category,
      amountMicrodollars: grant.amount_microdollars,
      expiredMicrodollars: expired,
    }
  })
}
