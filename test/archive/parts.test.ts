import { beforeEach, describe, expect, test } from 'vitest'
import * as z from 'zod'
import { readWriter } from '../../lambda/archive/control.ts'
import { readCursor } from '../../lambda/archive/cursor.ts'
import { createIntent, listAttempts, readIntent } from '../../lambda/archive/intents.ts'
import { checkPartSizes, createParts, emptyParts, readPart } from '../../lambda/archive/logs.ts'
import { readPage } from '../../lambda/archive/pages.ts'
import { readRun } from '../../lambda/archive/runs.ts'
import type { Store } from '../../lambda/archive/s3/store.ts'
import { freshBucket, keys, putText, readText, remove, storeOf, type TestBucket } from '../support/bucket.ts'

const RUN = '2026-11-22T06-12-30-123Z-execute-k3j9'
const line = z.object({ n: z.int() })

let bucket: TestBucket
let store: Store
beforeEach(async () => {
  bucket = await freshBucket()
  store = storeOf(bucket)
})

const bytes = (text: string) => Buffer.from(text)
const partsOf = (users: string, mutations = '', errors = '') => ({
  users: bytes(users),
  mutations: bytes(mutations),
  errors: bytes(errors),
})

describe('the parts of a page', () => {
  test('are stored under page and epoch, with size and hash for the cursor; no errors part without errors', async () => {
    const named = await createParts(store, RUN, 3, 2, partsOf('{"n":1}\n{"n":2}\n'))
    expect(named).toMatchObject({
      page: 3,
      epoch: 2,
      users: { bytes: 16 },
      mutations: { bytes: 0 },
      errors: null,
    })
    expect(await keys(bucket, 'logs/')).toEqual([
      `logs/mutations/${RUN}/00003-0002.jsonl`,
      `logs/users/${RUN}/00003-0002.jsonl`,
    ])
    const source = { page: 3, epoch: 2, ...named.users }
    expect(await readPart(store, RUN, 'users', source, line)).toEqual([{ n: 1 }, { n: 2 }])
  })

  test('stored again with the same lines are the same; with others the lease is lost, and nothing is overwritten', async () => {
    const first = await createParts(store, RUN, 0, 1, partsOf('{"n":1}\n', '', '{"n":2}\n'))
    expect(await createParts(store, RUN, 0, 1, partsOf('{"n":1}\n', '', '{"n":2}\n'))).toEqual(first)
    await expect(createParts(store, RUN, 0, 1, partsOf('{"n":9}\n'))).rejects.toMatchObject({
      name: 'LeaseLost',
    })
    expect(await readText(bucket, `logs/users/${RUN}/00000-0001.jsonl`)).toBe('{"n":1}\n')
  })

  test('of predecessors are emptied, whether they are there yet or not; a late one then fails', async () => {
    await createParts(store, RUN, 0, 1, partsOf('{"n":1}\n', '', '{"n":2}\n'))
    await emptyParts(store, RUN, 0, [1, 2])
    for (const key of await keys(bucket, 'logs/')) expect(await readText(bucket, key)).toBe('')
    expect(await keys(bucket, 'logs/')).toHaveLength(6)
    await emptyParts(store, RUN, 0, [1, 2])
    await expect(createParts(store, RUN, 0, 2, partsOf('{"n":1}\n'))).rejects.toMatchObject({
      name: 'LeaseLost',
    })
  })

  test('that were edited, cut short or deleted are named when they are read, and when a run is closed', async () => {
    const named = await createParts(store, RUN, 0, 1, partsOf('{"n":1}\n{"n":2}\n'))
    const key = `logs/users/${RUN}/00000-0001.jsonl`
    const source = { page: 0, epoch: 1, ...named.users }
    const damaged = { name: 'ArchiveCorrupt', message: expect.stringContaining(key) }
    await putText(bucket, key, '{"n":1}\n{"n":3}\n')
    await expect(readPart(store, RUN, 'users', source, line)).rejects.toMatchObject(damaged)
    await putText(bucket, key, '{"n":1}\n')
    await expect(checkPartSizes(store, RUN, [named])).rejects.toMatchObject(damaged)
    await remove(bucket, key)
    await expect(readPart(store, RUN, 'users', source, line)).rejects.toMatchObject(damaged)
    await expect(checkPartSizes(store, RUN, [named])).rejects.toMatchObject(damaged)
  })
})

describe('an intent', () => {
  const head = (attempt: string) => ({
    run_id: RUN,
    attempt,
    page: 0,
    epoch: 1,
    lease_expires_at: '2026-11-22T06:30:00.000Z',
    software_version: '0.2.0',
    users: 2,
    digest: 'd'.repeat(64),
  })
  const users = [
    { user_id: 'a', inputs: [1] },
    { user_id: 'b', inputs: [2] },
  ]
  const attempt = '00000-0001-001'

  test('is read back as it was stored, found under its page, and never rewritten', async () => {
    await createIntent(store, { head: head(attempt), users })
    await createIntent(store, { head: head(attempt), users })
    await createIntent(store, { head: { ...head('00001-0001-001'), page: 1 }, users })
    expect(await readIntent(store, RUN, attempt)).toEqual({ head: head(attempt), users })
    expect(await listAttempts(store, RUN, 0)).toEqual([attempt])
    await expect(
      createIntent(store, { head: head(attempt), users: users.toReversed() }),
    ).rejects.toMatchObject({
      name: 'ArchiveCorrupt',
    })
  })

  test('that is cut short, or of another attempt, is damaged and named; a missing one too', async () => {
    await createIntent(store, { head: head(attempt), users })
    const key = `intents/${RUN}/${attempt}.jsonl`
    const good = await readText(bucket, key)
    for (const bad of [
      good.slice(0, -4),
      good.replace(/[^\n]*\n$/, ''),
      good.replace(`"attempt":"${attempt}"`, '"attempt":"00000-0001-002"'),
      '',
    ]) {
      await putText(bucket, key, bad)
      await expect(readIntent(store, RUN, attempt)).rejects.toMatchObject({
        name: 'ArchiveCorrupt',
        message: expect.stringContaining(key),
      })
    }
    await expect(readIntent(store, RUN, '00000-0001-009')).rejects.toMatchObject({
      name: 'ArchiveCorrupt',
      message: expect.stringContaining('00000-0001-009.jsonl is missing'),
    })
  })
})

test.each(['', '{', '{}', 'null', '[]', '{"runId":5}', '<html>'])(
  'a document that holds %j is damaged, and named',
  async (body) => {
    const damaged = (key: string) => ({ name: 'ArchiveCorrupt', message: expect.stringContaining(key) })
    for (const key of [
      'control/writer.json',
      `runs/${RUN}/cursor.json`,
      `runs/${RUN}/pages/00000.json`,
      `runs/${RUN}/run.json`,
    ])
      await putText(bucket, key, body)
    await expect(readWriter(store)).rejects.toMatchObject(damaged('control/writer.json'))
    await expect(readCursor(store, RUN)).rejects.toMatchObject(damaged('cursor.json'))
    await expect(readPage(store, RUN, 0)).rejects.toMatchObject(damaged('pages/00000.json'))
    await expect(readRun(store, RUN)).rejects.toMatchObject(damaged('run.json'))
  },
)

test('a missing cursor or page is an error, never a fresh start', async () => {
  await expect(readCursor(store, RUN)).rejects.toMatchObject({ name: 'ArchiveCorrupt' })
  await expect(readPage(store, RUN, 3)).rejects.toMatchObject({
    name: 'ArchiveCorrupt',
    message: expect.stringContaining('00003.json is missing'),
  })
})
