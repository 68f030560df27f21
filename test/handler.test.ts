import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exitCardSchema, type ExitCard } from '../lambda/exit-card.ts'
import { redact } from '../lambda/redact.ts'
import { SOFTWARE_VERSION } from '../lambda/run/version.ts'
import { freshBucket, readJson, type TestBucket } from './support/bucket.ts'
import { invokeInProcess, type Invoked } from './support/servers/lambda.ts'
import { invokeJob } from './support/job.ts'
import { freshDatabase, insertTransaction, insertUser } from './support/ledger.ts'

const USD = 1_000_000
const USERS = 130
const QUOTED = '"ada lovelace"@kilo.ai'

let database: Awaited<ReturnType<typeof freshDatabase>>
let bucket: TestBucket
let password: string

beforeAll(async () => {
  database = await freshDatabase()
  bucket = await freshBucket()
  ;({ password } = new URL(database.url))
  for (let n = 0; n < USERS; n++) {
    const id = `user-${String(n).padStart(3, '0')}`
    await insertUser(database.sql, {
      id,
      google_user_email: n === 0 ? QUOTED : `secret.name${n}@kilo.ai`,
      total_microdollars_acquired: 10 * USD,
      auto_top_up_enabled: n < 2,
    })
    await insertTransaction(database.sql, { kilo_user_id: id })
  }
})
afterAll(() => database.drop())

const invoke = (event: unknown): Promise<ExitCard> => invokeJob({ databaseUrl: database.url, bucket }, event)
const inProcess = (events: unknown[], env: Record<string, string> = {}): Promise<Invoked> =>
  invokeInProcess(
    { LOG_BUCKET: bucket.bucket, DATABASE_URL: database.url, AWS_ENDPOINT_URL_S3: bucket.endpoint, ...env },
    events,
  )

const ENVELOPE = {
  version: '0',
  id: '1',
  source: 'aws.scheduler',
  'detail-type': 'Scheduled Event',
  account: '123456789012',
  region: 'us-east-1',
  resources: [],
}

test.each<[string, unknown]>([
  ['null', null],
  ['undefined', undefined],
  ['an empty text', ''],
  ['an empty object', {}],
  ['execute: false', { execute: false }],
  ['an envelope with an object', { ...ENVELOPE, detail: {} }],
  ['an envelope with JSON text', { ...ENVELOPE, detail: '{"batchSize": 50}' }],
  ['an envelope with null', { ...ENVELOPE, detail: null }],
])('%s means a dry run over all internal users', async (_what, event) => {
  expect(await invoke(event)).toMatchObject({
    mode: 'dry-run',
    status: 'complete',
    totals: { usersMatched: USERS, usersProcessed: USERS },
  })
})

/** Today's form of the address of an object, or of a folder, in the console. */
function consolePage(key: string): string {
  const kind = key.endsWith('/') ? 'buckets' : 'object'
  return `https://us-east-1.console.aws.amazon.com/s3/${kind}/${bucket.bucket}?region=us-east-1&prefix=${key}`
}

test('the exit card has the shape of the contract, and is what is stored', async () => {
  const card = await invoke({})
  expect(exitCardSchema.parse(card)).toEqual(card)
  expect(card).toEqual({
    runId: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}Z-dry-run-[0-9a-z]{4}$/),
    mode: 'dry-run',
    instant: expect.stringMatching(/Z$/),
    status: 'complete',
    why: 'every page is done',
    asked: {
      by: 'a test',
      via: 'test',
      reason: null,
      plan: null,
      payload: expect.any(Object),
    },
    domains: ['kilo.ai', 'kilocode.ai'],
    softwareVersion: SOFTWARE_VERSION,
    progress: { usersDone: USERS, usersTotal: USERS, percent: 100, etaSeconds: 0 },
    totals: expect.objectContaining({
      usersMatched: USERS,
      matchedFaceValueMicrodollars: USERS * 10 * USD,
      matchedFaceValue: '$1,300.00',
      expiredMicrodollars: USERS * 10 * USD,
      expired: '$1,300.00',
      usersNotReached: 0,
    }),
    byCategory: [expect.objectContaining({ category: 'automatic-welcome-credits', expired: '$1,300.00' })],
    // Earlier tests of this file made dry runs.
    sincePrevious: expect.objectContaining({ users: 0, grants: 0, expiredMicrodollars: 0 }),
    sinceExecuted: null,
    rolledBackBy: [],
    usersRolledBack: 0,
    rollsBack: null,
    warnings: ['2 users may be charged by auto top-up: balance under $5.00 after this run'],
    logs: {
      users: `s3://${bucket.bucket}/logs/users/${card.runId}/00000-0001.jsonl`,
      mutations: `s3://${bucket.bucket}/logs/mutations/${card.runId}/00000-0001.jsonl`,
      errors: `s3://${bucket.bucket}/logs/errors/${card.runId}/`,
      run: `s3://${bucket.bucket}/runs/${card.runId}/`,
      report: `s3://${bucket.bucket}/runs/${card.runId}/report.html`,
      console: {
        users: consolePage(`logs/users/${card.runId}/00000-0001.jsonl`),
        mutations: consolePage(`logs/mutations/${card.runId}/00000-0001.jsonl`),
        errors: consolePage(`logs/errors/${card.runId}/`),
        run: consolePage(`runs/${card.runId}/`),
      },
    },
    next: { text: expect.any(String), payload: { execute: true, plan: card.runId } },
  })
  expect(await readJson(bucket, `runs/${card.runId}/summary.json`)).toEqual(card)
})

describe('what Lambda would log', () => {
  let invoked: Invoked
  beforeAll(async () => {
    await database.sql.unsafe(`
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'no rights on % (id %)', new.google_user_email, new.id USING ERRCODE = '42501', DETAIL = new.google_user_email;
      END $$;
      CREATE TRIGGER refuse BEFORE UPDATE ON kilocode_users FOR EACH ROW WHEN (new.id = 'user-000' OR new.id = 'user-005') EXECUTE FUNCTION refuse();
    `)
    const refused = { execute: true, userIds: ['secret.name5@kilo.ai'], reason: 'asked for by boss@kilo.ai' }
    invoked = await inProcess([
      { batchSize: 1, reason: 'asked for by boss@kilo.ai' },
      { execute: true, userIds: ['user-000'] },
      { resume: 'later' },
      { execute: true, userIds: ['user-009'] },
      refused,
      { excute: 'ada@kilo.ai', 'eve@kilo.ai': 1 },
    ])
    await database.sql`DROP FUNCTION refuse CASCADE`
  })

  test('the invocations ended as they should', () => {
    expect(invoked.answers.map(({ card, error }) => card?.status ?? error?.name)).toEqual([
      'complete',
      'LedgerUnavailable',
      'InvalidEvent',
      'RunRefused',
      'RunRefused',
      'InvalidEvent',
    ])
  })

  test('no e-mail and no secret, in the log or in an error', () => {
    expect(JSON.stringify(invoked.answers.map(({ error }) => error))).not.toMatch(
      /@kilo|lovelace|secret\.name/,
    )
    expect(invoked.output).not.toMatch(/@kilo|lovelace|secret\.name/)
    expect(invoked.output + JSON.stringify(invoked.answers)).not.toContain(password)
  })

  test('every metric has the dimensions stage and mode and no other, from the first page on', () => {
    const emitted = invoked.lines.filter((line) => '_aws' in line)
    expect(emitted.length).toBeGreaterThan(2)
    for (const line of emitted) {
      const { CloudWatchMetrics: directives } = line['_aws'] as {
        CloudWatchMetrics: { Namespace: string; Dimensions: string[][] }[]
      }
      for (const { Namespace, Dimensions } of directives)
        expect({ Namespace, Dimensions }).toEqual({
          Namespace: 'CreditExpiry',
          Dimensions: [['stage', 'mode']],
        })
      expect(line.mode).toEqual(expect.any(String))
    }
    const pages = emitted
      .filter(({ mode }) => mode === 'dry-run')
      .flatMap(({ PageMilliseconds: values = [] }) => values)
    expect(pages).toHaveLength(USERS)
    expect(emitted.filter(({ mode }) => mode === 'dry-run')).toContainEqual(
      expect.objectContaining({ RunsClosed: 1, UsersProcessed: USERS, UsdExpired: 1300 }),
    )
  })

  test('the exit card is in the log once, and each error once, with its name', () => {
    expect(invoked.lines.filter(({ message }) => message === 'exit card')).toHaveLength(1)
    const errors = invoked.lines.filter(({ level }) => level === 'ERROR')
    expect(errors.map(({ error_name: name }) => name)).toEqual([
      'LedgerUnavailable',
      'InvalidEvent',
      'RunRefused',
      'RunRefused',
      'InvalidEvent',
    ])
    for (const line of errors)
      expect(line).toMatchObject({ function_request_id: expect.stringContaining('request-') })
  })
})

test.each([
  ['ada@kilo.ai is not there', '*** is not there'],
  ['(google_user_email)=(ada@kilo.ai)', '(google_user_email)=(***)'],
  [`the user ${QUOTED} is locked`, 'the user *** is locked'],
  [`the user "o'brien, jr"@kilo.ai is locked`, 'the user *** is locked'],
  ["o'brien@kilo.ai", '***'],
])('redacts %s', (text, redacted) => {
  const said = redact(text)
  for (const part of ['kilo.ai', 'lovelace', 'brien']) expect(said).not.toContain(part)
  expect(said).toBe(redacted)
})

test('redacts the password of a URL', () => {
  expect(redact('postgres://job:hunter2@db:5432/app')).not.toContain('hunter2')
})
