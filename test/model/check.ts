import {
  type Card,
  cardKey,
  type Cursor,
  cursorKey,
  KINDS,
  type Line,
  type Manifest,
  manifestOf,
  manifestKey,
  type Part,
  partKey,
  type Run,
  runKey,
  type Totals,
  totalsOf,
  type Writer,
  WRITER_KEY,
} from './bucket.ts'
import type { Place } from './holder.ts'
import type { Body } from './toy-s3.ts'

/** What must hold when all is done. Each function returns its violations. */

export function check(place: Place): readonly string[] {
  const runIds = Array.from({ length: place.runs }, (_, index) => `run-${index + 1}`)
  return [
    ...runIds.flatMap((runId) => checkRun(place, runId)),
    ...checkWriter(place),
    ...checkRequestKeys(place, runIds),
    ...checkAnswers(place),
  ]
}

function checkRun(place: Place, runId: string): readonly string[] {
  const run = read<Run>(place, runKey(runId))
  const cursor = read<Cursor>(place, cursorKey(runId))
  const commits = place.ledger.commits.filter((commit) => commit.runId === runId)
  if (!run || !cursor || !place.opened.has(runId))
    return commits.length > 0 ? [`${runId} was never opened and has commits`] : []
  if (cursor.state !== 'closed') return [`${runId} is stuck: ${cursor.state}`]
  return [
    ...checkLogged(place, run, cursor),
    ...checkUsersLog(place, run, cursor),
    ...checkFolders(place, runId, cursor),
    ...checkCard(place, runId, cursor),
  ]
}

/** Every committed change is in the mutation log, once, as it was committed, and nothing else is. */
function checkLogged(place: Place, { runId }: Run, cursor: Cursor): readonly string[] {
  const commits = place.ledger.commits.filter((commit) => commit.runId === runId)
  const said = ({ user, attempt, amount }: { user: number; attempt: string | null; amount: number }) =>
    `user ${user}, attempt ${attempt}, amount ${amount}`
  const committed = commits.map(said).toSorted()
  const logged = namedLines(place, cursor, 'mutations').map(said).toSorted()
  const twice = commits.filter(
    ({ user }, index) => commits.findIndex((other) => other.user === user) !== index,
  )
  return [
    ...twice.map(({ user }) => `${runId}: user ${user} was changed twice`),
    ...committed
      .filter((one) => !logged.includes(one))
      .map((one) => `${runId}: committed, not logged: ${one}`),
    ...logged
      .filter((one) => !committed.includes(one))
      .map((one) => `${runId}: logged, not committed: ${one}`),
    ...(committed.length < logged.length ? [`${runId}: a change is logged twice`] : []),
  ]
}

/** Every user of a named page has one line, which is right about whether the user was changed. */
function checkUsersLog(place: Place, run: Run, cursor: Cursor): readonly string[] {
  const { runId } = run
  const violations: string[] = []
  const changed = new Set(
    place.ledger.commits.filter((commit) => commit.runId === runId).map(({ user }) => user),
  )
  const lines = namedLines(place, cursor, 'users')
  const expected = cursor.named.flatMap(({ page }) => run.pages[page] ?? []).map(({ user }) => user)
  if (lines.length !== expected.length || expected.some((user) => !lines.some((line) => line.user === user)))
    violations.push(`${runId}: the users log has not one line for each user of the named pages`)
  for (const line of lines)
    if (line.changed !== changed.has(line.user))
      violations.push(`${runId}: user ${line.user} is ${line.outcome}, changed: ${changed.has(line.user)}`)
  const total = totalsOf(lines)
  if (!sameTotals(total, cursor.totals))
    violations.push(`${runId}: the cursor's totals are not those of the named parts`)
  const complete = cursor.status === 'complete' || cursor.status === 'complete_with_errors'
  if (complete && cursor.named.length !== run.pages.length)
    violations.push(`${runId} is ${cursor.status} without all pages`)
  if (complete && lines.some(({ outcome }) => outcome === 'not_reached'))
    violations.push(`${runId} is ${cursor.status} with users not reached`)
  if (cursor.status === 'complete' && lines.some(({ outcome }) => outcome === 'failed'))
    violations.push(`${runId} is complete with failed users`)
  return violations
}

/**
 * Readers of a log's folder see the lines of named parts and nothing else, with the hashes that the cursor
 * has.
 */
function checkFolders({ s3 }: Place, runId: string, cursor: Cursor): readonly string[] {
  const violations: string[] = []
  const named = new Set<string>()
  for (const { page, epoch, parts } of cursor.named)
    for (const kind of KINDS) {
      if (parts[kind] === null) continue
      const key = partKey(kind, runId, page, epoch)
      named.add(key)
      if (s3.objects.get(key)?.etag !== parts[kind])
        violations.push(`${key} is not what its writer recorded in the cursor`)
    }
  for (const [key, body] of s3.objects)
    if (body.etag !== '' && isPartOf(runId, key) && !named.has(key))
      violations.push(`${key} has lines and does not count`)
  return violations
}

function isPartOf(runId: string, key: string): boolean {
  return KINDS.some((kind) => key.startsWith(`logs/${kind}/${runId}/`))
}

function checkCard(place: Place, runId: string, cursor: Cursor): readonly string[] {
  const card = read<Card>(place, cardKey(runId))
  const manifest = read<Manifest>(place, manifestKey(runId))
  const same = card?.status === cursor.status && sameTotals(card.totals, cursor.totals)
  return [
    ...(same ? [] : [`${runId}: the stored card says ${card?.status}, the cursor ${cursor.status}`]),
    ...(manifest?.etag === manifestOf(cursor).etag
      ? []
      : [`${runId}: the manifest is not the cursor's list of parts`]),
  ]
}

function checkWriter(place: Place): readonly string[] {
  const writer = read<Writer>(place, WRITER_KEY)
  return writer?.runId ? [`control/writer.json still names ${writer.runId}`] : []
}

/**
 * However often and late a request is delivered, one run answers it, and no other run changes anything for
 * it.
 */
function checkRequestKeys(place: Place, runIds: readonly string[]): readonly string[] {
  const byKey = new Map<string, Set<string>>()
  const add = (key: string, runId: string) => byKey.set(key, (byKey.get(key) ?? new Set()).add(runId))
  for (const { requestKey, runId, answer } of place.answers)
    if (requestKey !== null && (answer === 'closed' || answer === 'incomplete')) add(requestKey, runId)
  for (const runId of runIds) {
    const run = read<Run>(place, runKey(runId))
    if (run && place.ledger.commits.some((commit) => commit.runId === runId)) add(run.requestKey, runId)
  }
  return [...byKey]
    .filter(([, runs]) => runs.size > 1)
    .map(([key, runs]) => `the request ${key} was worked on by ${[...runs].join(' and ')}`)
}

function checkAnswers({ answers, opened }: Place): readonly string[] {
  return [
    ...answers
      .filter(({ answer, runId }) => answer === 'not opened' && opened.has(runId))
      .map(({ invocation, runId }) => `${invocation} answered that ${runId} was not opened, and it was`),
    ...answers
      .filter(({ answer }) => answer === 'corrupt')
      .map(({ invocation, runId }) => `${invocation} found ${runId} corrupt`),
  ]
}

/** The objects of a closed run that nobody may change afterwards, with their ETags. */
export function snapshot({ s3 }: Place, runId: string): ReadonlyMap<string, string> {
  const etags = new Map<string, string>()
  for (const [key, body] of s3.objects) if (isFixed(runId, key)) etags.set(key, body.etag)
  return etags
}

export function compareSnapshot(
  { s3 }: Place,
  runId: string,
  before: ReadonlyMap<string, string>,
): readonly string[] {
  const violations: string[] = []
  for (const [key, body] of s3.objects)
    if (isFixed(runId, key) && body.etag !== (before.get(key) ?? ''))
      violations.push(`${key} changed after the run was closed`)
  return violations
}

function isFixed(runId: string, key: string): boolean {
  if (key.startsWith('logs/')) return isPartOf(runId, key)
  return key === cursorKey(runId) || key === cardKey(runId) || key === manifestKey(runId)
}

function namedLines(place: Place, cursor: Cursor, kind: 'users' | 'mutations'): readonly Line[] {
  return cursor.named.flatMap(
    ({ page, epoch }) => read<Part>(place, partKey(kind, cursor.runId, page, epoch))?.lines ?? [],
  )
}

// The key says which document it is.
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters
function read<T extends Body>({ s3 }: Place, key: string): T | undefined {
  return s3.objects.get(key) as T | undefined
}

function sameTotals(one: Totals, other: Totals): boolean {
  return one.users === other.users && one.changed === other.changed && one.amount === other.amount
}
