import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { attemptName } from '../../lambda/archive/keys.ts'
import { newRunId, rowId } from '../../lambda/run/ids.ts'

/** RFC 9562, 5.5, step by step: the hash's first 16 bytes, with version and variant put in. */
function uuidV5(namespace: string, name: string): string {
  const bytes = createHash('sha1')
    .update(Buffer.from(namespace.replaceAll('-', ''), 'hex'))
    .update(name, 'utf8')
    .digest()
    .subarray(0, 16)
  bytes[6] = ((bytes[6] ?? 0) % 16) + 0x50
  bytes[8] = ((bytes[8] ?? 0) % 64) + 0x80
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

test('the id of a row is the UUID v5 of run, attempt and subject, whatever letters are in them', () => {
  for (let n = 0; n < 200; n++) {
    const [run, attempt, subject] = [`run-${n}`, attemptName(n, 1, 1), `oauth/google:${n} ünï 🦜`]
    expect(rowId(run, attempt, subject)).toBe(
      uuidV5('5f0c6d1e-3b0e-4d3f-9a54-c1f3a8e2b7d6', `${run}/${attempt}/${subject}`),
    )
  }
})

test('another run, attempt or subject has another id; the same ones always have the same', () => {
  const ids = ['a', 'b'].flatMap((run) =>
    [attemptName(0, 1, 1), attemptName(0, 1, 2)].flatMap((attempt) =>
      ['x', 'y'].map((subject) => rowId(run, attempt, subject)),
    ),
  )
  expect(new Set(ids).size).toBe(8)
  expect(rowId('a', attemptName(0, 1, 1), 'x')).toBe(ids[0])
})

test('run ids sort by time', () => {
  const ids = ['2026-11-22T06:12:30.123Z', '2026-11-22T06:12:30.124Z', '2026-12-01T00:00:00.000Z'].map(
    (instant) => newRunId(instant, 'execute'),
  )
  expect(ids.toSorted()).toEqual(ids)
  expect(ids[0]).toMatch(/^2026-11-22T06-12-30-123Z-execute-[0-9a-z]{4}$/)
})
