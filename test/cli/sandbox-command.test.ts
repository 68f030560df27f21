import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openSandbox } from '../../bin/sandbox/sandbox.ts'
import { exitCardSchema } from '../../lambda/exit-card.ts'
import { runHere } from './here.ts'
import { type Ended, start } from './start.ts'

let cwd: string
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'credit-expiry-start-'))
})
afterAll(async () => rm(cwd, { recursive: true }))

function run(...args: string[]): Promise<Ended> {
  return start(args, { cwd }).ended
}

/** Runs the command that a summary ends with, in this process: that is faster. */
function next({ stdout }: Ended): Promise<Ended> {
  const [, options = ''] = /\n {2}npm start -- (.+)\n$/.exec(stdout) ?? []
  return here(...options.split(' '))
}

function here(...args: string[]): Promise<Ended> {
  return runHere(args, { cwd })
}

/** The paths that a summary shows under "Logs". */
function logsIn(stdout: string): string[] {
  return [...stdout.matchAll(/^ {2}(\.sandbox\/\S+)/gm)].map(([, path = '']) => join(cwd, path))
}

test('a dry run in a new sandbox, then what each summary says to do next, and another execute', async () => {
  const dry = await run()
  expect(dry).toMatchObject({ status: 0, stderr: expect.stringContaining('created a sample ledger') })
  expect(dry.stdout).toMatch(/^Dry run \S+\ncomplete: every page is done\nNothing was written to the ledger/)
  expect(dry.stdout).toMatch(/Users matched +60\n/)
  expect(dry.stdout).toMatch(/needs_review +3 {2}a grant may have been taken back/)
  for (const path of logsIn(dry.stdout)) expect(existsSync(path)).toBe(true)

  const executed = await next(dry)
  expect(executed.status).toBe(0)
  expect(executed.stderr).not.toContain('sample ledger')
  const usersLog = logsIn(executed.stdout).find((file) => file.includes('/logs/users/')) ?? ''
  const outcomes = (await readFile(usersLog, 'utf8')).match(/"outcome":"\w+"/g) ?? []
  expect(outcomes.filter((outcome) => outcome.includes('expired')).length).toBeGreaterThan(30)

  const shown = await next(executed)
  expect(shown).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/^Dry run of a rollback \S+\ncomplete: /),
  })
  const rolledBack = await next(shown)
  expect(rolledBack).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/^Rollback \S+\ncomplete: [^]* {4}rolled_back +\d\d /),
  })
  const [, executedId = ''] = /^Execute (\S+)/.exec(executed.stdout) ?? []
  const afterwards = await here('--status', executedId)
  expect(afterwards.stdout).toMatch(/\ncomplete: .*; rolled back by \S+-rollback-\w{4}\n/)
  expect(afterwards.stdout).not.toContain('Next:')
  const [, planId = ''] = /^Dry run (\S+)/.exec(dry.stdout) ?? []
  const repeated = await here('--execute', '--plan', planId, '--reason', 'again')
  expect(repeated).toMatchObject({ status: 0, stdout: expect.stringContaining(executedId) })
  expect(repeated.stderr).toContain(
    'Nothing was done now: the run below was ended by another invocation. A plan is executed once; ' +
      'npm start makes a new one.',
  )
  expect(await here('--execute')).toMatchObject({ status: 0 })

  const again = await here('--execute', '--json')
  expect(again.status).toBe(0)
  const card = exitCardSchema.parse(JSON.parse(again.stdout))
  expect(card).toMatchObject({
    mode: 'execute',
    status: 'complete',
    totals: { usersMatched: 60, usersProcessed: 0 },
  })

  const runs = await here('--runs')
  expect(runs.stdout.trimEnd().split('\n')).toHaveLength(7)
  const latest = await here('--status', '--json')
  expect(JSON.parse(latest.stdout)).toEqual(card)
})

test('standard output holds the result and nothing else', async () => {
  const { stdout, stderr } = await run('--json', '--debug', '--concurrency', '1')
  expect(exitCardSchema.parse(JSON.parse(stdout)).status).toBe('complete')
  expect(stderr).toContain('exit card')
  expect(stderr).not.toMatch(/@kilo/i)
  const quiet = await run('--json')
  expect(quiet.stderr.split('\n').filter((line) => !/^(Sandbox|Dry run)/.test(line))).toEqual([''])
})

test('a refusal goes to standard error, with status 1, without a stack unless --debug', async () => {
  const refused = await run('--user-ids', 'nobody')
  expect(refused).toMatchObject({ status: 1, stdout: '' })
  expect(refused.stderr).toContain('--user-ids nobody names no user')
  expect(refused.stderr).toContain('Nothing was done.')
  expect(refused.stderr).not.toMatch(/^ +at /m)
  const debugged = await run('--user-ids', 'nobody', '--debug')
  expect(debugged.stderr).toMatch(/^ +at /m)
  expect(debugged.stdout).toBe('')
})

test('a .env file in the folder counts, and the environment before it', async () => {
  await writeFile(join(cwd, '.env'), 'LOG_BUCKET=from-the-file\n')
  expect(await run()).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('LOG_BUCKET is set, but DATABASE_URL is not.'),
  })
  expect(await start([], { cwd, env: { LOG_BUCKET: '' } }).ended).toMatchObject({ status: 0 })
  await rm(join(cwd, '.env'))
})

test('what the AWS SDK finds in the environment does not lead away from the sandbox', async () => {
  const env = {
    AWS_PROFILE: 'production',
    AWS_SESSION_TOKEN: 'token',
    AWS_ENDPOINT_URL_S3: 'https://s3.example.com',
    AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: 'true',
  }
  expect(await start(['--json'], { cwd, env }).ended).toMatchObject({ status: 0 })
})

test('one command at a time', async () => {
  const sandbox = await openSandbox(join(cwd, '.sandbox'))
  try {
    expect(await run()).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringContaining(`(process ${process.pid}) is using`),
    })
  } finally {
    await sandbox.stop()
  }
})

test('--help is the result of a command without anything being started', async () => {
  const { status, stdout, stderr } = await start(['--help'], { cwd: tmpdir() }).ended
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  expect(stdout).toContain('npm start -- --execute')
})
