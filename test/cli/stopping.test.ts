import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { startS3, type S3Hooks, type S3Server } from '../../bin/sandbox/s3.ts'
import { exitCardSchema } from '../../lambda/exit-card.ts'
import { freshBucket, keys, readJson, type TestBucket } from '../support/bucket.ts'
import { freshDatabase, insertTransaction, insertUser } from '../support/ledger.ts'
import { type HttpRequest, startMisbehavingS3 } from '../support/servers/misbehaving-s3.ts'
import { hasTerminals, ownPlace, type Running, start, startOnTerminal } from './start.ts'

const USERS = 6
/** Signals closer together than a second are one request. */
const TOO_FAR_APART_TO_BE_ONE_MS = 1_200

/** With less than a third of its time left, an invocation begins no page. */
const LONGER_THAN_AN_INVOCATION_OF_10_S_BEGINS_PAGES_MS = 7_000

let cwd: string
let s3: S3Server
let database: Awaited<ReturnType<typeof freshDatabase>>
let bucket: TestBucket
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'credit-expiry-stopping-'))
  s3 = await startS3()
})
afterAll(async () => {
  await s3.stop()
  await rm(cwd, { recursive: true })
})
beforeEach(async () => {
  database = await freshDatabase()
  bucket = await freshBucket(s3.endpoint)
  for (let user = 0; user < USERS; user++) {
    const { id } = await insertUser(database.sql, { total_microdollars_acquired: 10_000_000 })
    await insertTransaction(database.sql, { kilo_user_id: id })
  }
})
afterEach(async () => database.drop())

function run(...args: string[]): Running {
  return start(args, { cwd, env: ownPlace(database.url, bucket) })
}

/** Does something once, while the job writes the outcome of its page 2 of an execute. */
function duringPage2(work: () => Promise<void>): S3Hooks {
  let done = false
  return {
    before: async ({ method, key }) => {
      if (done || method !== 'PUT' || !/logs\/users\/\S+-execute-\S+\/00002-\d+\.jsonl/.test(key)) return
      done = true
      await work()
    },
  }
}

/** Its invocation is long enough for a busy machine. */
const openExecute = () => run(...EXECUTE, '--invocation-seconds', '900')
const EXECUTE = ['--execute', '--yes', '--json', '--batch-size', '1', '--concurrency', '1']

async function runState(runId: string): Promise<unknown> {
  return readJson(bucket, `runs/${runId}/cursor.json`)
}

test('Ctrl-C finishes the pages in flight, releases the lease, and says how to continue; resuming does the rest', async () => {
  const command = openExecute()
  s3.setHooks(
    bucket.bucket,
    duringPage2(async () => {
      command.child.kill('SIGINT')
      await command.said('Ctrl-C: stopping after the pages in flight')
    }),
  )
  const { status, stdout, stderr } = await command.ended
  expect(status).toBe(3)
  const card = exitCardSchema.parse(JSON.parse(stdout))
  expect(card).toMatchObject({ status: 'incomplete', progress: { usersDone: 3, usersTotal: USERS } })
  expect(stderr).toContain(`Stopped by Ctrl-C. To continue: npm start -- --resume ${card.runId}`)
  expect(await runState(card.runId)).toMatchObject({ lease: null, usersDone: 3 })

  const rest = await run('--resume', card.runId, '--yes', '--json').ended
  expect(rest.status).toBe(0)
  expect(exitCardSchema.parse(JSON.parse(rest.stdout))).toMatchObject({
    runId: card.runId,
    status: 'complete',
    totals: { usersProcessed: USERS },
  })
  const [closed] = await database.sql<
    { count: number }[]
  >`SELECT count(*)::int AS count FROM credit_transactions WHERE credit_category = 'credits_expired'`
  expect(closed?.count).toBe(USERS)
})

test('a second Ctrl-C stops at once, says what that means and when the lease expires; a command before that gets busy', async () => {
  const command = openExecute()
  s3.setHooks(
    bucket.bucket,
    duringPage2(async () => {
      command.child.kill('SIGINT')
      await command.said('Ctrl-C: stopping after the pages in flight')
      await setTimeout(TOO_FAR_APART_TO_BE_ONE_MS)
      command.child.kill('SIGINT')
      await command.ended
    }),
  )
  const { status, stdout, stderr } = await command.ended
  expect({ status, stdout }).toEqual({ status: 3, stdout: '' })
  const [runId = ''] = /\S+-execute-\w+/.exec(stderr.slice(stderr.indexOf('stopped at once'))) ?? []
  expect(stderr).toMatch(
    new RegExp(
      `Ctrl-C: stopped at once\\. Each page in flight .* Its lease expires at \\S+Z\\. To continue: ` +
        `npm start -- --resume ${runId} --wait\n`,
    ),
  )
  expect(await runState(runId)).toMatchObject({ lease: { epoch: 1 }, usersDone: 2 })

  const tooEarly = await run('--resume', runId, '--yes').ended
  expect(tooEarly.status).toBe(3)
  expect(tooEarly.stdout).toMatch(/\nbusy: another invocation /)
  expect(tooEarly.stdout).toContain(`npm start -- --resume ${runId} --wait\n`)
})

test('with --wait a command waits for the other invocation, and gives the card of the run that it finishes; Ctrl-C ends the wait', async () => {
  const holder = openExecute()
  const waiter = Promise.withResolvers<Running>()
  const stopped = Promise.withResolvers<Running>()
  s3.setHooks(
    bucket.bucket,
    duringPage2(async () => {
      const [runId = ''] = /[^/]+-execute-[^/]+/.exec((await keys(bucket, 'runs/')).join('\n')) ?? []
      for (const { resolve } of [waiter, stopped]) {
        const command = run('--resume', runId, '--yes', '--json', '--wait')
        resolve(command)
        await command.said('Waiting for another invocation. Its lease expires at ')
      }
      const interrupted = await stopped.promise
      interrupted.child.kill('SIGINT')
      await interrupted.ended
    }),
  )
  const left = await (await stopped.promise).ended
  expect(left.status).toBe(3)
  expect(JSON.parse(left.stdout)).toMatchObject({ status: 'busy' })
  expect(left.stderr).toMatch(/Stopped by Ctrl-C\. To continue: npm start -- --resume \S+\n$/)
  const waited = await (await waiter.promise).ended
  const finished = await holder.ended
  expect([waited.status, finished.status]).toEqual([0, 0])
  expect(JSON.parse(waited.stdout)).toEqual(JSON.parse(finished.stdout))
})

test.skipIf(!existsSync('/dev/full'))('an output on a full disk does not end a run half-way', async () => {
  const env = ownPlace(database.url, bucket)
  const { status, stderr } = await start(EXECUTE, { cwd, env, output: '/dev/full' }).ended
  expect(status).toBe(1)
  expect(stderr).toContain('The output is incomplete: ENOSPC')
  expect(stderr).not.toContain('    at ')
  const [, runId = ''] = /^runs\/([^/]+)\/cursor\.json$/m.exec((await keys(bucket)).join('\n')) ?? []
  expect(await runState(runId)).toMatchObject({ finalStatus: { status: 'complete' } })
})

test('one command repeats invocations until the run is closed', async () => {
  s3.setHooks(
    bucket.bucket,
    duringPage2(async () => setTimeout(LONGER_THAN_AN_INVOCATION_OF_10_S_BEGINS_PAGES_MS)),
  )
  const { status, stdout } = await run(...EXECUTE, '--invocation-seconds', '10').ended
  expect(status).toBe(0)
  const card = exitCardSchema.parse(JSON.parse(stdout))
  expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: USERS } })
  expect(await runState(card.runId)).toMatchObject({ finalStatus: { status: 'complete' } })
  expect(await runState(card.runId)).not.toMatchObject({ epoch: 1 })
})

test('a Ctrl-C ends what only reads at once, also while nothing answers', async () => {
  const asked = Promise.withResolvers<void>()
  s3.setHooks(bucket.bucket, {
    before: () => {
      asked.resolve()
      return 'silent'
    },
  })
  const command = run('--status', '--invocation-seconds', '900')
  await asked.promise
  command.child.kill('SIGINT')
  const { status, stderr } = await command.ended
  expect(status).toBe(3)
  expect(stderr).toContain('Stopped by Ctrl-C. Nothing was done.')
  expect(stderr).not.toContain('pages in flight')
})

test('a Ctrl-C during the count ends it at once, and opens no run', async () => {
  const locked = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<void>()
  const lock = database.sql.begin(async (tx) => {
    await tx`lock table kilocode_users in access exclusive mode`
    locked.resolve()
    await ended.promise
  })
  await locked.promise
  const command = run('--execute', '--yes')
  await command.said('Counting')
  command.child.kill('SIGINT')
  const { status, stderr } = await command.ended
  expect(status).toBe(3)
  expect(stderr).toContain('Stopped by Ctrl-C. Nothing was written.')
  expect(await keys(bucket)).toEqual([])
  ended.resolve()
  await lock
})

test('a database that stalls: the command ends at the deadline of its invocation', async () => {
  const locked = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<void>()
  const lock = database.sql.begin(async (tx) => {
    await tx`lock table kilocode_users in access exclusive mode`
    locked.resolve()
    await ended.promise
  })
  await locked.promise
  const { status, stderr } = await run('--execute', '--yes', '--invocation-seconds', '10').ended
  expect(status).toBe(1)
  expect(stderr).toMatch(/did not answer within|\(SQLSTATE 5/)
  ended.resolve()
  await lock
})

test.skipIf(!hasTerminals)(
  'logs that cannot be read afterwards do not make a completed run a failed one',
  async () => {
    s3.setHooks(bucket.bucket, {
      before: ({ method, key }) =>
        method === 'GET' && key.startsWith('logs/') ? { status: 403, code: 'AccessDenied' } : undefined,
    })
    const { status, stdout } = await startOnTerminal([], { cwd, env: ownPlace(database.url, bucket) }).ended
    expect(status).toBe(0)
    // Lines end between words.
    expect(stdout).toMatch(/The tables cannot be shown\.\s+Could not read\s+logs\/users\//)
    expect(stdout).toContain('npm start -- --execute --plan ')
  },
)

test.skipIf(!hasTerminals)(
  'logs that are not answered afterwards: the tables end by the deadline',
  async () => {
    const silent = await startMisbehavingS3(bucket.endpoint)
    silent.behave(({ method, path }) => (method === 'GET' && path.includes('/logs/') ? 'silent' : 'pass'))
    const env = ownPlace(database.url, { ...bucket, endpoint: silent.endpoint })
    const { status, stdout } = await startOnTerminal(['--invocation-seconds', '10'], { cwd, env }).ended
    await silent.stop()
    expect(status).toBe(0)
    expect(stdout.replaceAll(/\s+/g, ' ')).toMatch(
      /The tables cannot be shown\. .*(no answer within (10|9\.\d) s|not answer within 10 seconds)/,
    )
  },
)

test.each([
  ['from the start', () => true],
  ['at the first part of the log', ({ path }: HttpRequest) => path.includes('/logs/users/')],
])('an S3 that falls silent %s: --csv ends at the deadline of an invocation', async (_, isSilent) => {
  await run('--dry-run').ended
  const silent = await startMisbehavingS3(bucket.endpoint)
  silent.behave((request) => (isSilent(request) ? 'silent' : 'pass'))
  const env = ownPlace(database.url, { ...bucket, endpoint: silent.endpoint })
  const args = ['--csv', 'users', 'latest', '--invocation-seconds', '10']
  const { status, stdout, stderr } = await start(args, { cwd, env }).ended
  await silent.stop()
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
  // Without a deadline the first try alone takes 20 seconds, and there are five.
  expect(stderr).not.toContain('    at ')
  expect(stderr.replaceAll(/\s+/g, ' ')).toMatch(/no answer within (10|9\.\d) s|not answer within 10 seconds/)
})
