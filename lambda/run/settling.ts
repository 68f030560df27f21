import { readPageList } from '../archive/cursor.ts'
import type * as z from 'zod'
import { type Intent, parseDocument } from '../archive/documents.ts'
import { intentKey } from '../archive/keys.ts'
import { openAttempts, putOutcome, readIntent } from '../archive/segments.ts'
import { databaseClock } from '../ledger/clock.ts'
import { type Settled, settleAttempts } from '../ledger/settle.ts'
import { rowsMeaningDone } from './attempt.ts'
import { AttemptOpen } from './errors.ts'
import type { Holding } from './lease.ts'
import { bareResult, pageResult, resultOf, type UserResult } from './page.ts'
import { isFinished } from './ranges.ts'
import type { Tools } from './tools.ts'
import { countedSchema } from './totals.ts'

/** What earlier invocations committed on pages that the cursor does not name: results of users, by page. */
export type Recovered = ReadonlyMap<number, ReadonlyMap<string, UserResult>>

const recoveredLineSchema = countedSchema.loose()

/**
 * Settles all attempts of every page that the cursor does not name (2-run-protocol, "Crashes and stalls"), before
 * anything is planned. A user whose rows are there gets the planned outcome of that attempt, marked `recovered`;
 * the others of these pages may be planned afresh.
 * @throws AttemptOpen when some users stay locked, or an attempt may still commit; ArchiveCorrupt, LedgerUnavailable
 */
export async function settleOpenPages(holding: Holding, tools: Tools): Promise<Recovered> {
  const { run } = holding
  const { finished } = holding.cursor()
  const intents = new Map<number, Intent[]>()
  for await (const { page, attempt } of openAttempts(tools.store, run.runId, (number) =>
    isFinished(finished, number),
  )) {
    intents.set(page, [...(intents.get(page) ?? []), await readIntent(tools.store, run.runId, attempt)])
  }
  if (!holding.predecessorReleased) await refuseUnexpired([...intents.values()].flat(), tools)

  const recovered = new Map<number, Map<string, UserResult>>()
  for (const [page, attempts] of intents)
    recovered.set(page, await settlePage(run.mode, page, attempts, tools))
  return recovered
}

/**
 * Only past its lease can another holder's attempt no longer pass its clock check. The lease was taken over after that
 * moment, so this holds unless the database's clock was set back.
 */
async function refuseUnexpired(intents: readonly Intent[], tools: Tools): Promise<void> {
  const latest = intents
    .map((intent) => intent.lease_expires_at)
    .toSorted()
    .at(-1)
  if (latest === undefined || latest < (await databaseClock(tools.ledger.writer))) return
  throw new AttemptOpen(
    `An attempt of another invocation may commit until ${latest}, by the database's clock.`,
  )
}

async function settlePage(
  mode: string,
  page: number,
  attempts: readonly Intent[],
  tools: Tools,
): Promise<Map<string, UserResult>> {
  const attempted = attempts.flatMap(({ attempt, planned }) =>
    planned.map((user) => ({ userId: user.user_id, attempt, rowIds: user.row_ids })),
  )
  const settled = await settleAttempts(tools.ledger.writer, attempted, rowsMeaningDone(mode), tools.pause)
  const open = new Set(attempted.map(({ userId }) => userId)).size - settled.size
  if (open > 0)
    throw new AttemptOpen(
      `${open} users of page ${page} are locked, so it is not known yet whether they were committed.`,
    )
  return new Map(attempts.flatMap((intent) => recoveredBy(intent, settled)))
}

function recoveredBy(
  { run_id, attempt, planned }: Intent,
  settled: ReadonlyMap<string, Settled>,
): [string, UserResult][] {
  return planned
    .filter((user) => settled.get(user.user_id)?.doneBy === attempt)
    .map(({ user_id, line, mutations }) => {
      // Spread over the line itself: its fields keep their order.
      const recovered = { ...line, ...checkedLine(intentKey(run_id, attempt), line), recovered: true }
      return [user_id, resultOf(recovered, mutations)]
    })
}

function checkedLine(key: string, line: object): z.infer<typeof recoveredLineSchema> {
  return parseDocument(recoveredLineSchema, key, JSON.stringify(line))
}

/** The corrections among recovered results, in microdollars: they are committed, and no cursor counts them yet. */
export function correctedIn(recovered: Recovered): number {
  const results = [...recovered.values()].flatMap((page) => [...page.values()])
  return results.reduce((sum, { line }) => sum + (line?.counted.correction_microdollars ?? 0), 0)
}

/**
 * Writes the outcomes of pages that were begun and will not be gone on with: what was committed of them, and
 * `not_reached` for everybody else. Before a run is closed that did not get to its end.
 * @throws LeaseLost, ArchiveUnavailable, ArchiveCorrupt
 */
export async function finishRecovered(holding: Holding, recovered: Recovered, tools: Tools): Promise<void> {
  const { run, epoch } = holding
  for (const [page, known] of recovered) {
    const { finished, closing } = holding.cursor()
    // Once it is decided how the run ends, its whole logs may be there: an intent that came too late to be committed adds nothing.
    if (isFinished(finished, page) || (closing && known.size === 0)) continue
    const list = await readPageList(tools.store, run.runId, page)
    const results = new Map(
      list.userIds.map((id) => [id, known.get(id) ?? bareResult(run, id, null, 'not_reached')]),
    )
    const result = pageResult(run, list, results, tools.now())
    await putOutcome(tools.store, run.runId, page, epoch, result.lines)
    await holding.finish(result, null)
  }
}
