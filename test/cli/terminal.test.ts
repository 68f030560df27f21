import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startS3, type S3Server } from '../../bin/sandbox/s3.ts'
import { freshBucket, type TestBucket } from '../support/bucket.ts'
import { invokeJob } from '../support/job.ts'
import { dump, freshDatabase, insertTransaction, insertUser } from '../support/ledger.ts'
import { screenOf } from './output.ts'
import { type Ended, hasTerminals, ownPlace, type Running, startOnTerminal } from './start.ts'

let cwd: string
let s3: S3Server
let database: Awaited<ReturnType<typeof freshDatabase>>
let bucket: TestBucket
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'credit-expiry-terminal-'))
  s3 = await startS3()
})
afterAll(async () => {
  await s3.stop()
  await rm(cwd, { recursive: true })
})
beforeEach(async () => {
  database = await freshDatabase()
  bucket = await freshBucket(s3.endpoint)
  for (const name of ['a.rather.long.name.of.a.colleague', 'bob']) {
    const { id } = await insertUser(database.sql, {
      id: `oauth/google:1234567890-${name}`,
      google_user_email: `${name}@kilocode.ai`,
      total_microdollars_acquired: 10_000_000,
    })
    await insertTransaction(database.sql, { kilo_user_id: id })
  }
  await insertTransaction(database.sql, {
    kilo_user_id: 'oauth/google:1234567890-bob',
    amount_microdollars: 5_500_000,
  })
})
afterEach(async () => database.drop())

type On = { readonly columns?: number; readonly env?: Record<string, string> }

function run(args: string[], { columns = 80, env = {} }: On = {}): Running {
  return startOnTerminal(args, { cwd, columns, env: { ...ownPlace(database.url, bucket), ...env } })
}

/** What the terminal shows in the end. */
function screen({ stdout }: Ended): string[] {
  return screenOf(stdout)
}

function withoutStyles(lines: string[]): string[] {
  // oxlint-disable-next-line no-control-regex -- escape sequences are what is looked for
  return lines.map((line) => line.replaceAll(/\u001b\[\d+m/g, ''))
}

const QUESTION = 'Only "yes" continues:'
const COLOURS = '\u001b[1m'

describe.skipIf(!hasTerminals)('on a terminal', () => {
  test.each([60, 80, 120])('of %i columns no row is wrapped', async (columns) => {
    const ended = await run(['--execute', '--yes'], { columns }).ended
    expect(ended.status).toBe(0)
    const lines = withoutStyles(screen(ended))
    const text = lines.join('\n')
    for (const part of ['Largest changes', 'Corrections', 'What this would do now', '$15.50'])
      expect(text).toContain(part)
    // Paths and commands are for copying, and stay whole.
    const rows = lines.filter((line) => !/s3:\/\/|npm start|grep |^Command /.test(line))
    expect(rows.filter((line) => line.length > columns)).toEqual([])
    expect(ended.stdout).toMatch(/Execute \[#+\] 2\/2 users, .*Ctrl-C stops/)
  })

  test('there are colours, and none with NO_COLOR', async () => {
    expect((await run([]).ended).stdout).toContain(COLOURS)
    const plain = await run([], { env: { NO_COLOR: '1' } }).ended
    expect(plain.stdout).toContain('complete: ')
    expect(plain.stdout).not.toContain(COLOURS)
  })

  async function answer(typed: string): Promise<Ended> {
    const command = run(['--execute'])
    await command.said(QUESTION)
    command.type(typed)
    return command.ended
  }

  test('only yes writes', async () => {
    const before = await dump(database.sql)
    for (const typed of ['no\r', '\r', 'y\r']) {
      expect(await answer(typed)).toMatchObject({
        status: 1,
        stdout: expect.stringContaining('Nothing was written.'),
      })
    }
    expect(await dump(database.sql)).toEqual(before)
    expect(await answer('yes\r')).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('Largest changes'),
    })
    expect(await dump(database.sql)).not.toEqual(before)
  })

  test('under a hold nothing is asked and nothing is written', async () => {
    await run(['--hold', 'a migration', '--by', 'Ada']).ended
    const before = await dump(database.sql)
    const held = await run(['--execute']).ended
    await run(['--release', 'done']).ended
    expect(held).toMatchObject({
      status: 3,
      stdout: expect.stringContaining('Writing is held by Ada since '),
    })
    expect(held.stdout).toContain('Nothing was written.')
    expect(held.stdout).not.toContain(QUESTION)
    expect(await dump(database.sql)).toEqual(before)
  })

  test.each([
    ['Ctrl-C', '\u0003', 3, 'Stopped by Ctrl-C. Nothing was written.'],
    ['Ctrl-D', '\u0004', 1, 'Nothing was written.'],
  ])('a %s at the question writes nothing, and ends the command', async (_, typed, status, says) => {
    const before = await dump(database.sql)
    expect(await answer(typed)).toMatchObject({ status, stdout: expect.stringContaining(says) })
    expect(await dump(database.sql)).toEqual(before)
  })

  test('what was typed before the question is not taken as the answer', async () => {
    const before = await dump(database.sql)
    const dry = await invokeJob({ databaseUrl: database.url, bucket }, {})
    const typed = Promise.withResolvers<void>()
    let command: Running | undefined
    s3.setHooks(bucket.bucket, {
      before: async ({ method }) => {
        if (method !== 'GET' || command === undefined) return
        command.type('yes\r')
        // The terminal echoes what it has taken.
        await command.said('yes')
        typed.resolve()
        command = undefined
      },
    })
    const running = run(['--execute', '--plan', dry.runId])
    command = running
    await typed.promise
    await running.said(QUESTION)
    running.type('no\r')
    expect(await running.ended).toMatchObject({
      status: 1,
      stdout: expect.stringContaining('Nothing was written.'),
    })
    expect(await dump(database.sql)).toEqual(before)
  })

  test('a user that the database refuses: status 2, and who and why', async () => {
    await database.sql.unsafe(`
      CREATE FUNCTION refuse_bob() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE 'bob is under review' USING ERRCODE = 'P0001'; END $$;
      CREATE TRIGGER refuse_bob BEFORE UPDATE ON kilocode_users
        FOR EACH ROW WHEN (old.id LIKE '%-bob') EXECUTE FUNCTION refuse_bob()`)
    const ended = await run(['--execute', '--yes'], { columns: 120 }).ended
    expect(ended.status).toBe(2)
    const text = withoutStyles(screen(ended)).join('\n')
    expect(text).toMatch(/\ncomplete_with_errors: every page is done, and 1 users? failed\n/)
    expect(text).toMatch(
      /\nFailures\n {2}id +stage +error +message\n {2}oauth\/google:1234567890-bob +apply +P0001 +The database refused these rows \(SQLSTATE P0001\): bob is under review\./,
    )
  })
})
