import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { auditRun } from '../../support/audit-run.ts'
import { isCursorWrite } from '../../support/between.ts'
import { keys, putText, readLines, readText, remove } from '../../support/bucket.ts'
import { setClock } from '../../support/clock.ts'
import { failureOf } from '../../support/job.ts'
import { dump } from '../../support/ledger.ts'
import { openRunId, readDocument, readStoredCursor } from '../../support/logs.ts'
import { bucket, EVENT, invoke, team, useSixUsers } from '../../support/places/six-users.ts'
import { timeForPages } from '../../support/stops.ts'
import { LATER } from '../../support/places/team.ts'

useSixUsers()

test('a free writer.json names the last closed writing run and the hash of its manifest; manifests form a chain', async () => {
  const manifestOf = async (runId: string) => readText(bucket, `runs/${runId}/manifest.json`)
  const linkTo = async (runId: string) => ({
    runId,
    manifestSha256: createHash('sha256')
      .update(await manifestOf(runId))
      .digest('hex'),
  })
  const first = await invoke(EVENT)
  await invoke({})
  const second = await invoke({ rollback: first.runId, execute: true })
  expect(await readDocument(bucket, 'control/writer.json')).toMatchObject({
    runId: null,
    lastClosed: await linkTo(second.runId),
  })
  expect(JSON.parse(await manifestOf(second.runId))).toMatchObject({ previous: await linkTo(first.runId) })
  expect(JSON.parse(await manifestOf(first.runId))).toMatchObject({ previous: null })
})

test('a closed run that is resumed returns its card, and leaves writer.json to the run that is open', async () => {
  const closed = await invoke({ ...EVENT, userIds: ['user-1'] })
  const open = await invoke(EVENT, timeForPages(1))
  expect(await invoke({ resume: closed.runId })).toEqual(closed)
  expect(await openRunId(bucket)).toBe(open.runId)
  expect(await invoke({ resume: open.runId })).toMatchObject({ runId: open.runId, status: 'complete' })
})

test('a closed run has one line in logs/runs, with who asked, why, and its figures', async () => {
  const card = await invoke({ ...EVENT, by: 'Ada', reason: 'clean-up' })
  expect(await readLines(bucket, `logs/runs/${card.runId}.jsonl`)).toMatchObject([
    {
      run_id: card.runId,
      mode: 'execute',
      at: card.instant,
      status: 'complete',
      asked_by: 'Ada',
      reason: 'clean-up',
      users_matched: 6,
      users_processed: 6,
      expired_microdollars: 60_000_000,
    },
  ])
})

test('closing takes the same requests for one page and for many', async () => {
  const requestsOf = async (event: object): Promise<string[]> => {
    const seen: string[] = []
    let isClosing = false
    team.s3.setHooks(bucket.bucket, {
      before: async (request) => {
        const { method, key, query } = request
        if (isClosing)
          seen.push(
            `${method} ${(key || (query.prefix ?? '')).replace(/[^/]*(execute|dry-run)[^/.]*/, 'RUN')}`,
          )
      },
      after: async (request) => {
        if (isCursorWrite(request))
          isClosing ||= (await readText(bucket, request.key)).includes('"state":"closing"')
      },
    })
    const card = await invoke(event)
    team.s3.setHooks(bucket.bucket, undefined)
    expect(card.status).toBe('complete')
    // What comes after the cursor is closed is the report, which is no part of closing.
    const closing = seen.slice(0, seen.lastIndexOf('PUT runs/RUN/cursor.json') + 1)
    return closing.filter((request) => !request.endsWith('/cursor.json') || request.startsWith('PUT'))
  }
  const one = await requestsOf({ execute: true, batchSize: 6 })
  const many = await requestsOf({ execute: true, batchSize: 1 })
  expect(many).toEqual(one)
  expect(one.length).toBeLessThan(20)
})

test('a cursor write that S3 refuses once is repaired, and the lease is released at the end', async () => {
  let writes = 0
  team.s3.setHooks(bucket.bucket, {
    before: (request) =>
      isCursorWrite(request) && ++writes === 3 ? { status: 503, code: 'SlowDown' } : undefined,
  })
  const card = await invoke(EVENT)
  expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 6 } })
  expect(writes).toBeGreaterThan(3)
  await auditRun(bucket, card.runId, team.sql)
})

test('an invocation whose card cannot be stored still releases its lease', async () => {
  team.s3.setHooks(bucket.bucket, {
    before: ({ method, key }) =>
      method === 'PUT' && key.endsWith('/summary.json') ? { status: 403, code: 'AccessDenied' } : undefined,
  })
  await invoke(EVENT, timeForPages(1)).catch((error: unknown) => error)
  const runId = await openRunId(bucket)
  expect(await readStoredCursor(bucket, runId)).toMatchObject({ lease: null, usersDone: 2 })
  team.s3.setHooks(bucket.bucket, undefined)
  expect(await invoke({ resume: runId })).toMatchObject({ status: 'complete' })
  await auditRun(bucket, runId, team.sql)
})

test('an older version of writer.json that was restored: an error that says what happened, and what to do', async () => {
  const open = await invoke(EVENT, timeForPages(1))
  const good = await readText(bucket, 'control/writer.json')
  await putText(
    bucket,
    'control/writer.json',
    JSON.stringify({ runId: null, lastClosed: null, nonce: 'old' }),
  )
  const before = await dump(team.sql)
  for (const event of [{ resume: open.runId }, { cancel: open.runId }, { status: open.runId }]) {
    const error = await failureOf(invoke(event))
    expect(error.name).toBe('ArchiveCorrupt')
    expect(error.message).toContain(
      `The cursor of run ${open.runId} is open, but control/writer.json does not name the run`,
    )
    expect(error.message).not.toContain('Nothing was written')
    expect(error.message).toContain('The run may have written to the ledger')
  }
  expect(await dump(team.sql)).toEqual(before)
  await putText(bucket, 'control/writer.json', good)
  expect(await invoke({ resume: open.runId })).toMatchObject({ status: 'complete' })
})

test('an open run without its run.json keeps other writing runs out; abandoned, it frees writer.json', async () => {
  const open = await invoke(EVENT, timeForPages(1))
  await remove(bucket, `runs/${open.runId}/run.json`)
  for (const event of [EVENT, { resume: open.runId }]) {
    const error = await failureOf(invoke(event))
    expect(error.name).toBe('ArchiveCorrupt')
    expect(error.message).toContain(`runs/${open.runId}/run.json is missing`)
    expect(error.message).toContain(`{"abandon": "${open.runId}"`)
  }
  expect(await invoke({})).toMatchObject({ mode: 'dry-run', status: 'complete' })
  const card = await invoke({ abandon: open.runId, reason: 'the bucket was damaged', by: 'Ada' })
  expect(card).toMatchObject({
    runId: open.runId,
    status: 'abandoned',
    why: expect.stringContaining('the bucket was damaged'),
  })
  expect(await keys(bucket, `intents/${open.runId}/`)).not.toEqual([])
  await setClock(team.sql, LATER)
  expect(await invoke(EVENT)).toMatchObject({ status: 'complete', totals: { usersProcessed: 4 } })
  expect(await failureOf(invoke({ rollback: open.runId }))).toBeInstanceOf(Error)
})

test('a bucket of version 0.1.0 is refused with the version to use; a dry run names the runs it cannot read', async () => {
  const runId = '2026-11-01T00-00-00-000Z-execute-aaaa'
  const old = { runId, mode: 'execute', softwareVersion: '0.1.0', selection: { domains: ['kilo.ai'] } }
  await putText(bucket, `runs/${runId}/run.json`, `${JSON.stringify(old, null, 2)}\n`)
  const free = { runId: null, nonce: '5a0c7a3e-0f5e-4a53-9c60-7d1e6ac0a6cb' }
  await putText(bucket, 'control/writer.json', `${JSON.stringify(free, null, 2)}\n`)
  const before = { ledger: await dump(team.sql), keys: await keys(bucket) }
  for (const [event, what] of [
    [{ resume: runId }, `Run ${runId}`],
    [{ rollback: runId }, `Run ${runId}`],
    [{ status: runId }, 'control/writer.json of bucket'],
    [EVENT, 'control/writer.json of bucket'],
    [{ status: 'latest' }, 'control/writer.json of bucket'],
    [{ abandon: runId, reason: 'none' }, 'control/writer.json of bucket'],
  ] as const) {
    const { name, message } = await failureOf(invoke(event))
    expect(name).toBe('ArchiveCorrupt')
    expect(message).toMatch(new RegExp(`^${what}.* was written by version 0\\.1\\.0`))
    expect(message).toContain('Use version 0.1.0 of credit-expiry')
    expect(message).not.toContain('Restore')
  }
  expect({ ledger: await dump(team.sql), keys: await keys(bucket) }).toEqual(before)
  // A dry run writes nothing that version 0.1.0 reads, so it may run here.
  expect(await invoke({})).toMatchObject({
    status: 'complete',
    warnings: [expect.stringContaining(`Run ${runId} was written by version 0.1.0`)],
  })
})

test('a run that may be older than its intents is resumed only when they were restored', async () => {
  const open = await invoke(EVENT, timeForPages(1))
  // Another page makes progress; the intents of the others are as old as before.
  await setClock(team.sql, '2027-02-09T06:00:00Z')
  expect(await invoke(EVENT, timeForPages(1))).toMatchObject({ status: 'incomplete', runId: open.runId })
  await setClock(team.sql, '2027-02-21T06:00:00Z')
  for (const [event, asked] of [
    [EVENT, 'resume'],
    [{ resume: open.runId }, 'resume'],
    [{ cancel: open.runId }, 'cancel'],
  ] as const) {
    expect(await failureOf(invoke(event))).toMatchObject({
      name: 'RunRefused',
      message: expect.stringContaining(`{"${asked}": "${open.runId}", "intentsRestored": true}`),
    })
  }
  expect(await invoke({ resume: open.runId, intentsRestored: true })).toMatchObject({ status: 'complete' })
  await auditRun(bucket, open.runId, team.sql)
})

test('a run that was closed, and whose writer.json could not be freed: the message does not call it open', async () => {
  let writes = 0
  team.s3.setHooks(bucket.bucket, {
    before: ({ method, key }) =>
      method === 'PUT' && key === 'control/writer.json' && ++writes > 1
        ? { status: 503, code: 'SlowDown' }
        : undefined,
  })
  const { name, message } = await failureOf(invoke(EVENT))
  const runId = await openRunId(bucket)
  expect(name).toBe('ArchiveUnavailable')
  expect(message).toContain(
    `Run ${runId} is closed as complete, and control/writer.json still names it: the next invocation ` +
      `frees it. Send {"resume": "${runId}"} to see its card.`,
  )
  team.s3.setHooks(bucket.bucket, undefined)
  expect(await invoke({ resume: runId })).toMatchObject({ status: 'complete' })
  expect(await readDocument(bucket, 'control/writer.json')).toMatchObject({ runId: null })
})

test('a card that could not be stored is told in the log', async () => {
  team.s3.setHooks(bucket.bucket, {
    before: ({ method, key }) =>
      method === 'PUT' && key.endsWith('/summary.json') ? { status: 403, code: 'AccessDenied' } : undefined,
  })
  const logged: [string, unknown][] = []
  const { timeLeft, host } = timeForPages(1)
  const card = await invoke(EVENT, {
    timeLeft,
    host: { ...host, log: (message, details) => void logged.push([message, details]) },
  })
  expect(card.status).toBe('incomplete')
  expect(logged).toContainEqual([
    'the card could not be stored',
    { runId: card.runId, cause: expect.stringContaining('403 AccessDenied') },
  ])
})
