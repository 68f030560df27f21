import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { replayFolder, replayReport } from '../../bin/replay.ts'
import { reportOf, verifyFolder } from '../../bin/verify.ts'
import type { ExitCard } from '../../lambda/exit-card.ts'
import { ledgers } from '../rules/ledgers.ts'
import { fc } from '../rules/fuzz.ts'
import { freshBucket } from '../support/bucket.ts'
import { download } from '../support/download.ts'
import { invokeJob } from '../support/job.ts'
import { freshDatabase, insertTransaction, insertUser } from '../support/ledger.ts'
import { insertLedgers } from '../support/places/population.ts'
import { SEED } from '../support/places/random-ledgers.ts'

/** Runs that were downloaded: an execute over random ledgers, its rollback, previewed before, and another execute. */

const USERS = 61
const RECORDED = 'test/fixtures/recorded'
const folder = await mkdtemp(join(tmpdir(), 'credit-expiry-runs-'))
const { url, sql, drop } = await freshDatabase()
let first: ExitCard
let previews: ExitCard[]
let rollback: ExitCard
let second: ExitCard

beforeAll(async () => {
  process.stderr.write(`RUN_SEED=${SEED}\n`)
  const bucket = await freshBucket()
  const place = { databaseUrl: url, bucket }
  await insertLedgers(sql, fc.sample(ledgers, { seed: SEED, numRuns: 60 }))
  // Whatever the random ones are, one user's credit expires.
  await insertTransaction(sql, {
    kilo_user_id: (await insertUser(sql, { id: 'ada', total_microdollars_acquired: 10_000_000 })).id,
  })
  first = await invokeJob(place, { execute: true, batchSize: 25 })
  const preview = { rollback: first.runId }
  previews = [await invokeJob(place, preview), await invokeJob(place, { ...preview, userIds: ['ada'] })]
  rollback = await invokeJob(place, { rollback: first.runId, execute: true })
  second = await invokeJob(place, { execute: true })
  await download(bucket, folder, ['runs/', 'logs/'])
})

afterAll(async () => {
  await drop()
  await rm(folder, { recursive: true, force: true })
})

test('downloaded runs are verified without database and bucket, rollbacks and their previews too', async () => {
  const verified = await verifyFolder(folder)
  const all = [first, ...previews, rollback, second]
  expect(verified.map(({ runId }) => runId)).toEqual(all.map(({ runId }) => runId))
  expect(verified.flatMap(({ findings }) => findings.shown)).toEqual([])
  const { usersProcessed } = first.totals
  expect(verified.map(({ checked }) => checked.users)).toEqual([
    USERS,
    usersProcessed,
    1,
    usersProcessed,
    USERS,
  ])
  expect(verified.map(({ absentBefore }) => absentBefore)).toEqual([null, null, null, null, null])
})

test('an edited or missing line of the table of runs is named', async () => {
  const key = `logs/runs/${first.runId}.jsonl`
  const line = await readFile(join(folder, key), 'utf8')
  await writeFile(join(folder, key), line.replace('"reason":null', '"reason":"approved"'))
  const [edited] = await verifyFolder(folder, { only: first.runId })
  expect(edited && reportOf(edited).join('\n')).toContain(`${key}, reason: expected nothing, found approved`)
  await rm(join(folder, key))
  const [without] = await verifyFolder(folder, { only: first.runId })
  expect(without && reportOf(without).join('\n')).toContain(`${key}, object: expected present, found nothing`)
  await writeFile(join(folder, key), line)
})

test('a run that is not in the folder is named where the chain ends', async () => {
  const [there, away] = [join(folder, 'runs', rollback.runId), join(folder, 'away')]
  await rename(there, away)
  const verified = await verifyFolder(folder)
  await rename(away, there)
  expect(verified.map(({ absentBefore }) => absentBefore)).toEqual([null, null, null, rollback.runId])
  expect(verified.flatMap(reportOf)).toContain(
    `  The run before it, ${rollback.runId}, is not in this folder: the chain ends here.`,
  )
})

test('an edited line, an edited manifest and a missing part are named, in text for people', async () => {
  const { key, text } = await partWithExpired()
  await writeFile(join(folder, key), text.replace('"outcome":"expired"', '"outcome":"nothing_to_expire"'))
  const [run] = await verifyFolder(folder, { only: first.runId })
  expect(run && reportOf(run).join('\n')).toMatch(/outcome: expected expired, found nothing_to_expire/)
  await rm(join(folder, key))
  const [without] = await verifyFolder(folder, { only: first.runId })
  expect(without && reportOf(without).join('\n')).toContain(`${key}, object: expected present, found nothing`)
  await writeFile(join(folder, key), text)

  const manifest = join(folder, `runs/${first.runId}/manifest.json`)
  const before = await readFile(manifest, 'utf8')
  await writeFile(manifest, `${before}\n`)
  const chained = (await verifyFolder(folder)).flatMap(({ findings }) => findings.shown)
  expect(chained.map(({ step, where }) => [step, where])).toEqual([
    ['chain', `runs/${first.runId}/manifest.json`],
  ])
  await writeFile(manifest, before)
})

test('a replay with the rules that wrote the logs shows no difference', async () => {
  const replay = await replayFolder(folder)
  expect(replay).toMatchObject({ runs: 2, differing: [] })
  expect(replay.users + replay.notPlanned).toBe(2 * USERS)
  expect(replayReport(replay)[0]).toMatch(/^No difference: \d+ users of 2 runs were planned again/)
})

test('a replay names the runs that it left out, and a file that is damaged', async () => {
  const run = join(folder, 'runs', first.runId, 'run.json')
  const before = await readFile(run, 'utf8')
  await rm(run)
  const replay = await replayFolder(folder)
  expect(replay).toMatchObject({ runs: 1 })
  expect(replayReport(replay).at(-1)).toBe(`Left out: ${first.runId}: its run.json is not in this folder.`)
  await writeFile(run, '[]')
  await expect(replayFolder(folder)).rejects.toThrow(
    `runs/${first.runId}/run.json is damaged or incomplete. Download it again; nothing was concluded.`,
  )
  await writeFile(run, before)
})

test('a replay says how many users and how many dollars would differ', async () => {
  const { key, text } = await partWithExpired()
  const line = text.split('\n').find((one) => one.includes('"outcome":"expired"')) ?? ''
  const amount = Number(/"grants_targeted":\d+,"expired_microdollars":(\d+)/.exec(line)?.[1])
  const edited = line.replace(
    /("grants_targeted":\d+,"expired_microdollars":)\d+/,
    `$1${amount + 41_200_000}`,
  )
  await writeFile(
    join(folder, key),
    text.replace(line, () => edited),
  )
  expect(replayReport(await replayFolder(join(folder, 'logs')))[0]).toMatch(/^1 user, \$41\.20: /)
  await writeFile(join(folder, key), text)
})

test('the recorded runs are planned by these rules as they were when they were recorded', async () => {
  if (process.env.RECORD === 'replay') await record()
  const replay = await replayFolder(RECORDED)
  expect(replay.users).toBeGreaterThan(40)
  expect(replayReport(replay)).toEqual([expect.stringMatching(/^No difference/)])
})

/**
 * Writes the fixture anew, where a change of the rules is intended: RECORD=replay npx vitest run <this file>.
 */
async function record(): Promise<void> {
  await rm(RECORDED, { recursive: true, force: true })
  for (const key of [`runs/${first.runId}/run.json`, ...(await partsOf(first.runId))]) {
    const file = join(RECORDED, key)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, await readFile(join(folder, key)))
  }
}

async function partsOf(runId: string): Promise<string[]> {
  const names = await readdir(join(folder, 'logs/users', runId))
  return names.toSorted().map((name) => `logs/users/${runId}/${name}`)
}

/** A part of the users log of the first run in which a user's credit expired. */
async function partWithExpired(): Promise<{ readonly key: string; readonly text: string }> {
  for (const key of await partsOf(first.runId)) {
    const text = await readFile(join(folder, key), 'utf8')
    if (text.includes('"outcome":"expired"')) return { key, text }
  }
  throw new Error('No credit expired in the first run.')
}
