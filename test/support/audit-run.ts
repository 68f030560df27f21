import { createHash } from 'node:crypto'
import type { Sql } from 'postgres'
import { expect } from 'vitest'
import { storeOf } from './bucket.ts'
import { LOG_KINDS, partKey, runFileKey } from '../../lambda/archive/keys.ts'
import { readPage } from '../../lambda/archive/pages.ts'
import { readRun, type Run } from '../../lambda/archive/runs.ts'
import { unpackInputs } from '../../lambda/rules/inputs.ts'
import { addUserLine, countedSchema, noTotals } from '../../lambda/run/lines/totals.ts'
import { candidateOf } from '../../lambda/run/pages/modes/execute.ts'
import { contextOf } from '../../lambda/run/lines/run-rules.ts'
import { planInputs } from '../../lambda/run/pages/modes/planning.ts'
import { readLoggedChanges, rollbackMode } from '../../lambda/run/pages/modes/rollback.ts'
import type { UserResult } from '../../lambda/run/pages/outcome.ts'
import { readText, type TestBucket } from './bucket.ts'
import { readDocument, readLogs, readStoredCursor, type LogLine, type RunLogs } from './logs.ts'

/**
 * Checks a closed run against itself, and returns its logs: every line belongs to the run and names its
 * attempt; each user has one line, and in a complete run every matched user has one; the lines of a planned
 * user are what the rules give again from the line's own inputs; totals are those of the lines; parts,
 * manifest and writer.json agree. With `sql` also that the rows which the run inserted are in the ledger as
 * logged (unless it was rolled back since).
 */
export async function auditRun(bucket: TestBucket, runId: string, sql?: Sql): Promise<RunLogs> {
  const store = storeOf(bucket)
  const run = await readRun(store, runId)
  if (!run) throw new Error(`${runId} is not in the bucket.`)
  const logs = await readLogs(bucket, runId)
  expectLinesOfRun(run, logs)
  await expectEveryUser(bucket, run, logs)
  await expectPlannedAgain(bucket, run, logs)
  await expectTotalsOfLines(bucket, run, logs)
  await expectHashes(bucket, run)
  if (sql && run.mode === 'execute') await expectInserted(sql, logs)
  return logs
}

function expectLinesOfRun(run: Run, logs: RunLogs): void {
  for (const line of [...logs.users, ...logs.mutations, ...logs.errors]) {
    expect(line).toMatchObject({
      run_id: run.runId,
      at: run.instant,
      attempt: expect.stringMatching(/^\d{5}-\d{4}-\d{3}$/),
      user_id: expect.any(String),
    })
  }
}

async function expectEveryUser(bucket: TestBucket, run: Run, { users, errors }: RunLogs): Promise<void> {
  const cursor = await readStoredCursor(bucket, run.runId)
  expect(cursor).toMatchObject({ state: 'closed', lease: null })
  const store = storeOf(bucket)
  const pages = await Promise.all(
    cursor.pages.map(async ({ page }) => (await readPage(store, run.runId, page)).userIds),
  )
  expect(users.map((line) => line.user_id)).toEqual(pages.flat())
  const isComplete = cursor.finalStatus?.status.startsWith('complete') === true
  if (isComplete) expect(users).toHaveLength(run.matched.users)
  const failed = users.filter(({ outcome }) => outcome === 'failed').map((line) => line.user_id)
  expect(errors.map((line) => line.user_id)).toEqual(failed)
}

/** Plans every user again whose line has inputs; lines and mutations must be those that are logged. */
async function expectPlannedAgain(bucket: TestBucket, run: Run, logs: RunLogs): Promise<void> {
  const mutationsOf = Map.groupBy(logs.mutations, (line) => line.user_id)
  const planAgain = await plannerOf(bucket, run)
  for (const { recovered: _recovered, ...line } of logs.users) {
    const mutations = mutationsOf.get(line.user_id) ?? []
    if (!('inputs' in line)) {
      expect(line.outcome).toMatch(/^(gone|not_internal|excluded|failed|not_reached)$/)
      expect(mutations).toEqual([])
      continue
    }
    const again = planAgain(line)
    if (!again) continue
    if (line.outcome === 'exceeds_plan' || line.outcome === 'failed') {
      expect(mutations).toEqual([])
      expect(linesOf(again.line)[0]).toMatchObject({ inputs: line.inputs, user_id: line.user_id })
      continue
    }
    expect(linesOf(again.line)).toEqual([line])
    expect(linesOf(again.mutations.bytes)).toEqual(mutations)
  }
}

/** What the rules give for a line from its inputs; null for users that a rollback does not change. */
async function plannerOf(bucket: TestBucket, run: Run): Promise<(line: LogLine) => UserResult | null> {
  const { rollback } = run.selection
  if (rollback === null) {
    return ({ inputs, attempt }) => {
      const { user, rows, circumstances } = unpackInputs(inputs)
      const context = contextOf(run, String(attempt))
      const planning = planInputs(run, context, user, rows, circumstances)
      return 'planned' in planning ? candidateOf(run, context, planning.planned).result : planning.result
    }
  }
  const store = storeOf(bucket)
  const target = await readStoredCursor(bucket, rollback)
  const parts = await Promise.all(
    target.pages
      .filter(({ mutations }) => mutations.bytes > 0)
      .map(async ({ page, epoch, mutations }) =>
        readLoggedChanges(store, rollback, { page, epoch, ...mutations }),
      ),
  )
  const mode = rollbackMode(run, new Map(parts.flatMap((changes) => [...changes])), [])
  return ({ user_id, inputs, attempt, outcome }) =>
    outcome === 'rolled_back'
      ? mode.planAgain({ user_id: String(user_id), inputs }, String(attempt)).result
      : null
}

function linesOf(bytes: Uint8Array): LogLine[] {
  return Buffer.from(bytes)
    .toString('utf8')
    .split('\n')
    .filter((text) => text !== '')
    .map((text) => JSON.parse(text) as LogLine)
}

async function expectTotalsOfLines(bucket: TestBucket, run: Run, logs: RunLogs): Promise<void> {
  const { totals, usersDone } = await readStoredCursor(bucket, run.runId)
  const sum = noTotals()
  for (const line of logs.users) addUserLine(sum, countedSchema.parse(line))
  sum.mutationLines = logs.mutations.length
  sum.errorLines = logs.errors.length
  expect(totals).toEqual(sum)
  expect(usersDone).toBe(logs.users.length)
  const card = await readDocument(bucket, runFileKey(run.runId, 'summary.json'))
  const add = (column: string) => logs.users.reduce((all, line) => all + Number(line[column]), 0)
  expect(card.totals).toMatchObject({
    usersMatched: run.matched.users,
    expiredMicrodollars: add('expired_microdollars'),
    duePaidMicrodollars: add('due_paid_microdollars'),
    correctedMicrodollars: add('correction_microdollars'),
    grantsTargeted: add('grants_targeted'),
  })
  const shown = card.totals as Record<string, number>
  expect(
    (shown.usersWithoutGrants ?? 0) +
      (shown.usersProcessed ?? 0) +
      (shown.usersSkipped ?? 0) +
      (shown.usersFailed ?? 0) +
      (shown.usersNotReached ?? 0),
  ).toBe(shown.usersMatched)
}

async function expectHashes(bucket: TestBucket, run: Run): Promise<void> {
  const { runId } = run
  const { pages } = await readStoredCursor(bucket, runId)
  const { files } = (await readDocument(bucket, runFileKey(runId, 'manifest.json'))) as {
    files: { key: string; bytes: number; sha256: string }[]
  }
  const parts = pages.flatMap((named) =>
    LOG_KINDS.flatMap((kind) =>
      named[kind] ? [{ key: partKey(runId, kind, named.page, named.epoch), ...named[kind] }] : [],
    ),
  )
  expect(files.slice(0, parts.length)).toEqual(parts)
  expect(files.slice(parts.length).map(({ key }) => key)).toEqual([
    runFileKey(runId, 'run.json'),
    runFileKey(runId, 'summary.json'),
  ])
  for (const file of files) {
    const body = await readText(bucket, file.key)
    const sha256 = createHash('sha256').update(body).digest('hex')
    expect(file).toEqual({ key: file.key, bytes: Buffer.byteLength(body), sha256 })
  }
}

/** Rows that a run logged as inserted are all there, or, after a rollback of a user, none of that user. */
async function expectInserted(sql: Sql, { mutations }: RunLogs): Promise<void> {
  const logged = mutations.filter(({ type }) => String(type).endsWith('_insert'))
  const rows = await sql<{ id: string; amount: string; link: string | null }[]>`
    SELECT id, amount_microdollars AS amount, original_transaction_id AS link FROM credit_transactions
    WHERE id IN (SELECT jsonb_array_elements_text(${JSON.stringify(logged.map((line) => line.row_id))}::text::jsonb)::uuid)`
  const found = new Map(rows.map(({ id, ...row }) => [id, row]))
  for (const [userId, lines] of Map.groupBy(logged, (line) => line.user_id)) {
    const there = lines.filter((line) => found.has(String(line.row_id)))
    expect({ userId, there: there.length }).toEqual({ userId, there: there.length === 0 ? 0 : lines.length })
    for (const { row_id, after } of there) {
      const { amount_microdollars: amount, original_transaction_id: link } = after as LogLine
      expect(found.get(String(row_id))).toEqual({ amount: String(amount), link })
    }
  }
}
