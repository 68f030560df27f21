import { chmod, chown, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startPostgres, type PostgresServer } from '../../../bin/sandbox/postgres.ts'
import { freshBucket, type TestBucket } from '../../support/bucket.ts'
import { stopClock } from '../../support/clock.ts'
import { invokeJob } from '../../support/job.ts'
import { freshDatabase } from '../../support/ledger.ts'
import { selfSigned } from './certificate.ts'
import { ownPlace, start } from '../start.ts'

let database: Awaited<ReturnType<typeof freshDatabase>>
let bucket: TestBucket
beforeAll(async () => {
  database = await freshDatabase()
  bucket = await freshBucket()
})
afterAll(async () => database.drop())

/** How the job refuses a payload on the database at `url`: the error's name and message. */
async function refusal(url: string, event: object = {}): Promise<string> {
  return invokeJob({ databaseUrl: url, bucket }, event, { host: { now: () => new Date() } }).then(
    (card) => `no error: ${card.status}`,
    (error: unknown) => (error instanceof Error ? `${error.name}: ${error.message}` : 'no Error'),
  )
}

function changed(url: string, change: (url: URL) => void): string {
  const copy = new URL(url)
  change(copy)
  return copy.href
}

test.each<[string, (url: URL) => void, string]>([
  [
    'the server is down',
    (url) => (url.port = '1'),
    'The database does not answer: connect ECONNREFUSED 127.0.0.1:1. Check that it is running, and ' +
      'the host and the port in DATABASE_URL.',
  ],
  ['no such host', (url) => (url.hostname = 'ledger.invalid'), "The database's host name is unknown: "],
  [
    'a wrong password',
    (url) => (url.password = 'wrong-hunter2'),
    'The database refused the login (SQLSTATE 28P01): password authentication failed for user ' +
      '"postgres". Correct the user and password in DATABASE_URL or in its secret.',
  ],
  [
    'no such user',
    (url) => (url.username = 'stranger'),
    'The database refused the login (SQLSTATE 28P01): password authentication failed for user "stranger".',
  ],
  [
    'no such database',
    (url) => (url.pathname = '/nowhere'),
    'The database does not exist (SQLSTATE 3D000): database "nowhere" does not exist. Check the name ' +
      'of the database at the end of DATABASE_URL',
  ],
  [
    'TLS asked for and not offered',
    (url) => (url.search = 'sslmode=require'),
    'The database does not offer TLS: ',
  ],
])('%s', async (_, change, message) => {
  const said = await refusal(changed(database.url, change))
  expect(said).toContain(`LedgerUnavailable: ${message}`)
  expect(said).toMatch(/Then try again\. Nothing was written\.$/)
  expect(said).not.toContain('hunter2')
})

test('another database: the tables are missing', async () => {
  const said = await refusal(changed(database.url, (url) => (url.pathname = '/postgres')))
  expect(said).toContain(
    'LedgerUnavailable: The user postgres cannot see the table kilocode_users and the table ' +
      'credit_transactions.',
  )
})

test('a column that is gone is named, before anything begins', async () => {
  const other = await freshDatabase()
  await other.sql`ALTER TABLE kilocode_users DROP COLUMN auto_top_up_enabled`
  expect(await refusal(other.url)).toContain(
    'LedgerUnavailable: Missing in the database: kilocode_users.auto_top_up_enabled.',
  )
  await other.drop()
})

test('no connection left', async () => {
  const other = await freshDatabase()
  await database.sql`ALTER DATABASE ${database.sql(new URL(other.url).pathname.slice(1))} CONNECTION LIMIT 0`
  // Superusers pass such a limit.
  await database.sql.unsafe(`CREATE ROLE late_comer LOGIN PASSWORD 'secret'`)
  try {
    const said = await refusal(
      changed(other.url, (url) => {
        url.username = 'late_comer'
        url.password = 'secret'
      }),
    )
    expect(said).toContain(
      'LedgerUnavailable: The database has no connection left (SQLSTATE 53300): too many connections ' +
        'for database',
    )
  } finally {
    await database.sql`DROP ROLE late_comer`
    await other.drop()
  }
})

test('a database set read-only: an execute is refused, a dry run is not', async () => {
  const other = await freshDatabase()
  await database.sql`ALTER DATABASE ${database.sql(new URL(other.url).pathname.slice(1))} SET default_transaction_read_only = on`
  expect(await refusal(other.url)).toBe('no error: complete')
  expect(await refusal(other.url, { execute: true })).toContain(
    'LedgerUnavailable: The database is read-only: default_transaction_read_only is set',
  )
  await other.drop()
})

test("a database whose clock is far from this machine's", async () => {
  const other = await freshDatabase()
  const hourAgo = new Date(Date.now() - 3_600_000).toISOString()
  await stopClock(other.sql, hourAgo)
  const said = await refusal(other.url)
  expect(said).toMatch(
    new RegExp(
      `^RunRefused: The clock of the database says ${hourAgo}, and the clock of this machine \\S+Z: ` +
        `they differ by 60 minutes\\. ` +
        'Nothing was written\\. Correct the wrong one',
    ),
  )
  await other.drop()
})

describe('a server of its own', () => {
  let dir: string
  let server: PostgresServer
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'credit-expiry-server-'))
    // As root, PostgreSQL runs as another user, who must be able to enter.
    await chmod(dir, 0o711)
    server = await startPostgres({ dir: join(dir, 'postgres') })
  })
  afterAll(async () => {
    await server.stop()
    await rm(dir, { recursive: true })
  })

  async function ownedByServer(name: string, content: string): Promise<string> {
    const data = join(dir, 'postgres', 'data')
    const { uid, gid } = await stat(data)
    await writeFile(join(data, name), content, { mode: 0o600 })
    await chown(join(data, name), uid, gid)
    return join(data, name)
  }

  async function asAdmin(...statements: string[]): Promise<void> {
    const admin = postgres(server.urlFor('postgres'), { max: 1 })
    for (const statement of statements) await admin.unsafe(statement)
    await admin.end()
  }

  test('an untrusted certificate is refused; named in NODE_EXTRA_CA_CERTS it is trusted, for the host that it is for', async () => {
    const { certificate, key } = selfSigned()
    await ownedByServer('server.crt', certificate)
    await ownedByServer('server.key', key)
    await asAdmin('ALTER SYSTEM SET ssl = on')
    await server.stop()
    server = await startPostgres({ dir: join(dir, 'postgres') })
    const url = changed(server.urlFor('postgres'), (given) => (given.search = 'sslmode=require'))

    const said = await refusal(url)
    expect(said).toContain(
      "LedgerUnavailable: The database's TLS certificate is not trusted: self-signed certificate",
    )
    expect(said).toContain(
      'Set NODE_EXTRA_CA_CERTS to a PEM file with the authority that signed it. A certificate is ' +
        'never accepted unverified.',
    )

    const ca = join(dir, 'ca.pem')
    await writeFile(ca, certificate)
    const trusting = await start([], { cwd: dir, env: { ...ownPlace(url, bucket), NODE_EXTRA_CA_CERTS: ca } })
      .ended
    expect(trusting.stderr).toContain('The user postgres cannot see the table kilocode_users')
    await asAdmin('ALTER SYSTEM RESET ssl')
  })

  test('a standby takes dry runs, and an execute is refused', async () => {
    await asAdmin('CREATE DATABASE ledger')
    const ledger = postgres(server.urlFor('ledger'), { max: 1 })
    await ledger.file(new URL('../../../bin/sandbox/schema.sql', import.meta.url).pathname)
    await ledger.end()
    await server.stop()
    await ownedByServer('standby.signal', '')
    server = await startPostgres({ dir: join(dir, 'postgres') })
    expect(await refusal(server.urlFor('ledger'))).toBe('no error: complete')
    expect(await refusal(server.urlFor('ledger'), { execute: true })).toContain(
      'LedgerUnavailable: The database is read-only: it is a standby. Point DATABASE_URL at the ' +
        'primary. Nothing was done.',
    )
  })
})
