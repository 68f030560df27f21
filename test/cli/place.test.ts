import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openPlace, type Place } from '../../bin/cli/place.ts'

const shell = promisify(execFile)
/** The bucket of postgres://localhost/ledger: a hash keeps ledgers apart whose names differ in other characters. */
const BUCKET = 'logs-of-localhost-5432-ledger-cfecc3'
const FOLDER = `s3://${BUCKET}/logs/users/a-run/`
const PARTS = ['{"user_id":"ada","flags":["link_taken"]}\n', '{"user_id":"bob","flags":[]}\n']

let here: string
let before: string
let place: Place
beforeAll(async () => {
  before = process.cwd()
  here = await mkdtemp(join(tmpdir(), 'credit-expiry-place-'))
  process.chdir(here)
  const env = { DATABASE_URL: 'postgres://localhost/ledger', INIT_CWD: here }
  place = await openPlace(env, { writes: false, localLogs: false }, () => {})
  const folder = join(here, '.sandbox/s3', BUCKET, 'logs/users/a-run')
  await mkdir(folder, { recursive: true })
  for (const [page, part] of PARTS.entries()) await writeFile(join(folder, `0000${page}-0001.jsonl`), part)
})
afterAll(async () => {
  await place.close()
  process.chdir(before)
  await rm(here, { recursive: true })
})

async function outputOf(command: string): Promise<string> {
  return (await shell('sh', ['-c', command], { cwd: here })).stdout
}

test.each<[string, string, string[] | undefined, string]>([
  ['one file', `${FOLDER}00001-0001.jsonl`, undefined, PARTS[1] ?? ''],
  ['a folder of parts', FOLDER, ['"user_id"'], PARTS.join('')],
  ['the lines that hold a text', FOLDER, ['"flags":["', 'nothing has this'], PARTS[0] ?? ''],
])('the command that shows a log on this machine prints %s', async (_what, url, texts, lines) => {
  expect(await outputOf(place.lookInto(url, texts))).toBe(lines)
})

test('the path of a log is that of its plain file, or null where there is none', () => {
  expect(place.locate(`${FOLDER}00001-0001.jsonl`)).toBe(
    `.sandbox/s3/${BUCKET}/logs/users/a-run/00001-0001.jsonl`,
  )
  expect(place.locate(`${FOLDER}00002-0001.jsonl`)).toBeNull()
})
