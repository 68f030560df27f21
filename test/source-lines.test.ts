import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { inSourceLines } from '../lambda/host/source-lines.ts'

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'credit-expiry-lines-'))
})
afterEach(() => rm(dir, { recursive: true }))

const bundle = () => pathToFileURL(join(dir, 'index.mjs')).href
/** Line 1, column 1 of the bundle is line 7, column 3 of the source. */
const MAP = { version: 3, sources: ['../../lambda/event.ts'], names: [], mappings: 'AAME' }

test('places in the bundle become lines of the source, others stay', async () => {
  await writeFile(join(dir, 'index.mjs.map'), JSON.stringify(MAP))
  const stack = `InvalidEvent: no\n    at a (${bundle()}:1:1)\n    at node:internal/timers:5:6\n    at ${bundle()}:1:9`
  expect(inSourceLines(stack)).toBe(
    'InvalidEvent: no\n    at a (lambda/event.ts:7:3)\n    at node:internal/timers:5:6\n    at lambda/event.ts:7:3',
  )
})

test.each([
  ['without a map', null],
  ['with a map that is cut short', '{"version":3,"sour'],
  ['with a map that knows no such place', JSON.stringify({ ...MAP, mappings: ';;AAME' })],
])('%s, a stack stays as it is', async (_what, map) => {
  if (map !== null) await writeFile(join(dir, 'index.mjs.map'), map)
  const stack = `Error: no\n    at a (${bundle()}:1:1)`
  expect(inSourceLines(stack)).toBe(stack)
})
