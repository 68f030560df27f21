import { Logger } from '@aws-lambda-powertools/logger'
import middy from '@middy/core'
import postgres from 'postgres'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { errorLogging } from '../lambda/observability.ts'
import { redact } from '../lambda/redact.ts'
import { freshDatabase } from './support/ledger.ts'

let database: Awaited<ReturnType<typeof freshDatabase>>
beforeAll(async () => {
  database = await freshDatabase()
})
afterAll(() => database.drop())

/** What a handler whose work throws lets its caller see, and every line that it logs. */
async function shownFor(work: () => unknown): Promise<{ thrown: Error; logged: unknown[][] }> {
  const logger = new Logger({ logLevel: 'SILENT' })
  const log = vi.spyOn(logger, 'error')
  const handler = middy()
    .use(errorLogging(logger))
    .handler(async () => work())
  const thrown = await handler({}, {} as never).then(
    () => new Error('nothing was thrown'),
    (error: unknown) => (error instanceof Error ? error : new Error('what was thrown is no Error')),
  )
  return { thrown, logged: log.mock.calls }
}

/** The driver's error as it is: its stack can't be written, and it carries the statement's parameters. */
async function driverError(url: string, statement: string): Promise<unknown> {
  const sql = postgres(url, { max: 1, connect_timeout: 2, onnotice: () => {} })
  try {
    await sql.unsafe(statement)
    throw new Error('the statement succeeded')
  } catch (error) {
    return error
  } finally {
    await sql.end({ timeout: 0 })
  }
}

const raise = (code: string): string =>
  `do $$ begin raise exception 'ada@kilo.ai is in the way' using errcode = '${code}', detail = 'bea@kilo.ai'; end $$`

test.each([
  ['a lock timeout', raise('55P03'), 'LedgerBusy'],
  ['a statement timeout', raise('57014'), 'LedgerBusy'],
  ['a conflict on a standby', raise('40001'), 'LedgerBusy'],
  ['a missing right', raise('42501'), 'LedgerUnavailable'],
  ['a refused row', raise('23514'), 'LedgerRefused'],
])(
  "%s that reaches the door as the driver's own error is named, redacted and logged once",
  async (_, sql, name) => {
    const error = await driverError(database.url, sql)
    const { thrown, logged } = await shownFor(() => {
      throw error
    })
    expect(thrown.name).toBe(name)
    expect(thrown.message).toContain('*** is in the way')
    expect(logged).toEqual([[thrown.message, expect.objectContaining({ error_name: name })]])
    expect(JSON.stringify([thrown.message, thrown.stack, logged])).not.toContain('@kilo.ai')
  },
)

test('so is a connection that could not be opened', async () => {
  const url = new URL(database.url)
  url.port = '1'
  const error = await driverError(url.href, 'select 1')
  const { thrown, logged } = await shownFor(() => {
    throw error
  })
  expect(thrown).toMatchObject({ name: 'LedgerUnavailable', cause: error })
  expect(logged).toHaveLength(1)
})

test("a cause of the driver has its name, whatever the bundler made of its class's", async () => {
  const error = await driverError(database.url, 'select no_such_column')
  if (!(error instanceof postgres.PostgresError)) throw new Error('The driver threw another error.')
  const { logged } = await shownFor(() => {
    throw Object.assign(error, { name: 'Ye' })
  })
  const causes = ['PostgresError: column "no_such_column" does not exist']
  expect(logged).toEqual([[expect.any(String), expect.objectContaining({ causes })]])
})

test('an error that shows nothing is passed on as it is, with the paths of its stack', async () => {
  const error = new TypeError('this is no page')
  error.stack =
    'TypeError: this is no page\n    at f (file:///var/task/node_modules/@aws-sdk/client-s3/index.js:1:2)'
  const { thrown, logged } = await shownFor(() => {
    throw error
  })
  expect(thrown).toBe(error)
  expect(logged).toEqual([['this is no page', expect.objectContaining({ stack: error.stack })]])
})

test('an error with an e-mail address is passed on without it, and keeps its name and its cause', async () => {
  const cause = new Error('bea@kilo.ai')
  const { thrown, logged } = await shownFor(() => {
    throw Object.assign(new Error('ada@kilo.ai is locked', { cause }), { name: 'Locked' })
  })
  expect(thrown).toMatchObject({ name: 'Locked', message: '*** is locked', cause })
  expect(logged).toEqual([
    ['*** is locked', expect.objectContaining({ error_name: 'Locked', causes: ['Error: ***'] })],
  ])
  expect(JSON.stringify([thrown.stack, logged])).not.toContain('@kilo.ai')
})

test('what is thrown and is no Error is logged too', async () => {
  const { thrown, logged } = await shownFor(() => {
    // oxlint-disable-next-line typescript/only-throw-error -- a dependency may do it
    throw 'ada@kilo.ai'
  })
  expect(thrown.message).toBe('***')
  expect(logged).toHaveLength(1)
})

test.each([
  ['file:///var/task/node_modules/@smithy/core/index.js:12:3'],
  ['postgres://db.example.com:5432/ledger'],
  ['arn:aws:lambda:us-east-1:123456789012:function:credit-expiry'],
])('%s is not redacted', (text) => {
  expect(redact(text)).toBe(text)
})
