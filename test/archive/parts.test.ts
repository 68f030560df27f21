import { beforeEach, expect, test } from 'vitest'
import { readCursor, readPageList, readRun, readWriter } from '../../lambda/archive/cursor.ts'
import { assembleLog } from '../../lambda/archive/logs.ts'
import { putIntent, putOutcome, readIntent, toLines } from '../../lambda/archive/segments.ts'
import { create, type Store } from '../../lambda/archive/store.ts'
import { finishedPages, isFinished, unfinished, withFinished } from '../../lambda/run/ranges.ts'
import { freshBucket, keys, readText, type TestBucket } from '../support/bucket.ts'

const RUN = '2026-11-22T06-12-30-123Z-execute-k3j9'

let bucket: TestBucket
let store: Store
beforeEach(async () => {
  bucket = await freshBucket()
  store = { client: bucket.client, bucket: bucket.bucket }
})

const segment = (n: number): string => `segments/${RUN}/${String(n).padStart(6, '0')}-0001-users.jsonl`

async function assemble(
  numbers: number[],
): Promise<{ lines: string[]; fingerprint: Awaited<ReturnType<typeof assembleLog>> }> {
  const lines: string[] = []
  const fingerprint = await assembleLog(store, RUN, 'users', numbers.map(segment), (line) => lines.push(line))
  return { lines, fingerprint }
}

test('nothing comes to an empty log', async () => {
  const { lines, fingerprint } = await assemble([])
  expect(lines).toEqual([])
  expect(fingerprint).toMatchObject({ lines: 0, bytes: 0 })
  expect(await readText(bucket, `logs/users/${RUN}.jsonl`)).toBe('')
})

test('many segments, empty ones too, stand in the order given, cut at line feeds alone', async () => {
  const bodies = Array.from({ length: 40 }, (_, n) =>
    n % 5 === 0 ? '' : `{"n":${n},"text":"a\u2028b\u2029c\u0085d\\n ünï 🦜"}\n{"n":${n},"second":true}\n`,
  )
  await Promise.all(bodies.map((body, n) => create(store, segment(n), body, 'application/x-ndjson')))
  const { lines, fingerprint } = await assemble(bodies.map((_, n) => n))
  expect(await readText(bucket, `logs/users/${RUN}.jsonl`)).toBe(bodies.join(''))
  expect(lines).toEqual(bodies.join('').split('\n').slice(0, -1))
  expect(fingerprint).toMatchObject({ lines: 64, bytes: Buffer.byteLength(bodies.join('')) })
})

test('once more is the same; another content is refused, and nothing is overwritten', async () => {
  await create(store, segment(1), 'one\n', 'application/x-ndjson')
  await create(store, segment(2), 'two\n', 'application/x-ndjson')
  const first = await assemble([1, 2])
  expect(await assemble([1, 2])).toEqual(first)
  await expect(assemble([2, 1])).rejects.toMatchObject({ name: 'ArchiveCorrupt' })
  await expect(assemble([])).rejects.toMatchObject({ name: 'ArchiveCorrupt' })
  expect(await readText(bucket, `logs/users/${RUN}.jsonl`)).toBe('one\ntwo\n')
})

test('a segment that is missing is an error, and no log', async () => {
  await create(store, segment(1), 'one\n', 'application/x-ndjson')
  await expect(assemble([1, 2])).rejects.toMatchObject({
    name: 'ArchiveCorrupt',
    message: expect.stringContaining(segment(2)),
  })
  expect(await keys(bucket, 'logs/')).toEqual([])
})

test('one that is missing among many, read ahead, is an error when its turn comes, and no log', async () => {
  const present = Array.from({ length: 20 }, (_, n) => n).filter((n) => n !== 9)
  await Promise.all(present.map((n) => create(store, segment(n), `{"n":${n}}\n`, 'application/x-ndjson')))
  const lines: string[] = []
  const assembled = assembleLog(
    store,
    RUN,
    'users',
    Array.from({ length: 20 }, (_, n) => segment(n)),
    (line) => lines.push(line),
  )
  await expect(assembled).rejects.toMatchObject({
    name: 'ArchiveCorrupt',
    message: expect.stringContaining(segment(9)),
  })
  expect(lines).toEqual(Array.from({ length: 9 }, (_, n) => `{"n":${n}}`))
  expect(await keys(bucket, 'logs/')).toEqual([])
})

test('a log of many parts is whole', async () => {
  const body = `${'x'.repeat(99)}\n`.repeat(60_000)
  for (const n of [1, 2, 3]) await create(store, segment(n), body, 'application/x-ndjson')
  let count = 0
  const { lines, bytes } = await assembleLog(
    store,
    RUN,
    'users',
    [1, 2, 3].map(segment),
    (line) => (count += line.length === 99 ? 1 : 0),
  )
  expect({ count, lines, bytes }).toEqual({ count: 180_000, lines: 180_000, bytes: 18_000_000 })
})

test('an intent and an outcome are never rewritten', async () => {
  await putIntent(store, RUN, '000000-0001-001', [toLines(['one'])])
  await putIntent(store, RUN, '000000-0001-001', [toLines(['one'])])
  await expect(putIntent(store, RUN, '000000-0001-001', [toLines(['two'])])).rejects.toMatchObject({
    name: 'ArchiveCorrupt',
  })
  await putOutcome(store, RUN, 0, 1, { users: [toLines(['a'])], mutations: [], errors: [] })
  await expect(
    putOutcome(store, RUN, 0, 1, { users: [toLines(['b'])], mutations: [], errors: [] }),
  ).rejects.toMatchObject({ name: 'ArchiveCorrupt' })
  expect(await keys(bucket, 'segments/')).toEqual(
    ['intent', 'mutations', 'users'].map(
      (kind) => `segments/${RUN}/000000-0001-${kind === 'intent' ? '001-' : ''}${kind}.jsonl`,
    ),
  )
})

test('an intent that is cut short is damaged, not a smaller one', async () => {
  const head = (attempt: string): string =>
    JSON.stringify({
      run_id: RUN,
      attempt,
      page: 0,
      epoch: 1,
      lease_expires_at: '2026-11-22T06:30:00.000Z',
      users: 2,
    })
  const user = (id: string): string[] => [
    JSON.stringify({ user_id: id, row_ids: ['x'], mutations: 2, line: {} }),
    `{"of":"${id}","n":1}`,
    `{"of":"${id}","n":2}`,
  ]
  const whole = [head('000000-0001-001'), ...user('a'), ...user('b')]
  await putIntent(store, RUN, '000000-0001-001', [toLines(whole)])
  const intent = await readIntent(store, RUN, '000000-0001-001')
  expect(intent).toMatchObject({
    users: 2,
    planned: [
      { user_id: 'a' },
      { user_id: 'b', row_ids: ['x'], mutations: ['{"of":"b","n":1}', '{"of":"b","n":2}'] },
    ],
  })

  const bodies = [
    whole.slice(0, 4),
    whole.slice(0, 5),
    whole.slice(0, 6),
    whole.map((line, at) => (at === 6 ? line.slice(0, -5) : line)),
    whole.toSpliced(3, 1),
    whole.map((line) => line.replace('"mutations":2', '"mutations":5000000000')),
  ]
  for (const [at, [, ...lines]] of bodies.entries()) {
    const attempt = `000000-0001-00${at + 2}`
    await putIntent(store, RUN, attempt, [toLines([head(attempt), ...lines])])
    await expect(readIntent(store, RUN, attempt)).rejects.toMatchObject({
      name: 'ArchiveCorrupt',
      message: expect.stringContaining(attempt),
    })
  }
  await expect(readIntent(store, RUN, '000000-0001-009')).rejects.toMatchObject({
    name: 'ArchiveCorrupt',
    message: expect.stringContaining('000000-0001-009'),
  })
})

test.each(['', '{', '{}', 'null', '[]', '{"runId":5}', '<html>'])(
  'a document that holds %j is damaged, and named',
  async (body) => {
    for (const key of [
      'control/writer.json',
      `runs/${RUN}/cursor.json`,
      `runs/${RUN}/pages/000000.json`,
      `runs/${RUN}/run.json`,
    ])
      await create(store, key, body, 'application/json')
    const damaged = (key: string) => ({ name: 'ArchiveCorrupt', message: expect.stringContaining(key) })
    await expect(readWriter(store)).rejects.toMatchObject(damaged('control/writer.json'))
    await expect(readCursor(store, RUN)).rejects.toMatchObject(damaged('cursor.json'))
    await expect(readPageList(store, RUN, 0)).rejects.toMatchObject(damaged('pages/000000.json'))
    await expect(readRun(store, RUN)).rejects.toMatchObject(damaged('run.json'))
  },
)

test('a missing cursor or page list is an error, never a fresh start', async () => {
  await expect(readCursor(store, RUN)).rejects.toMatchObject({ name: 'ArchiveCorrupt' })
  await expect(readPageList(store, RUN, 3)).rejects.toMatchObject({
    name: 'ArchiveCorrupt',
    message: expect.stringContaining('000003'),
  })
})

test('finished pages are kept as ranges of one epoch, in whatever order they come', () => {
  const add = (pages: [number, number][]) =>
    pages.reduce<ReturnType<typeof withFinished>>(
      (ranges, [page, epoch]) => withFinished(ranges, page, epoch),
      [],
    )
  expect(
    add([
      [2, 1],
      [0, 1],
      [1, 1],
    ]),
  ).toEqual([{ from: 0, to: 2, epoch: 1 }])
  expect(
    add([
      [0, 1],
      [2, 1],
      [1, 2],
    ]),
  ).toEqual([
    { from: 0, to: 0, epoch: 1 },
    { from: 1, to: 1, epoch: 2 },
    { from: 2, to: 2, epoch: 1 },
  ])
  const ranges = add([
    [5, 1],
    [3, 1],
    [4, 1],
    [0, 2],
    [9, 3],
  ])
  expect([...unfinished(ranges, 11)]).toEqual([1, 2, 6, 7, 8, 10])
  expect([...finishedPages(ranges)].map(({ page }) => page)).toEqual([0, 3, 4, 5, 9])
  expect(isFinished(ranges, 6)).toBe(false)
})
