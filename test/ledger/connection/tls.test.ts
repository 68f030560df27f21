import { chmod, chown, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import postgres from 'postgres'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type PostgresServer, startPostgres } from '../../../bin/sandbox/postgres.ts'
import { connect } from '../../../lambda/ledger/connection/connect.ts'
import { readTransaction } from '../../../lambda/ledger/connection/transaction.ts'
import { type Certificate, selfSigned } from '../../cli/messages/certificate.ts'
import { startSilentProxy } from '../../support/servers/silent-proxy.ts'

let dir: string
let server: PostgresServer
const trusted = tls.getCACertificates('default')

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'credit-expiry-tls-'))
  // As root, PostgreSQL runs as another user, who must be able to enter.
  await chmod(dir, 0o711)
  server = await startPostgres({ dir: join(dir, 'postgres') })
  await useCertificate(selfSigned())
  const admin = postgres(server.urlFor('postgres'), { max: 1 })
  await admin`ALTER SYSTEM SET ssl = on`
  await admin.end()
  await server.stop()
  server = await startPostgres({ dir: join(dir, 'postgres') })
})
afterAll(async () => {
  tls.setDefaultCACertificates(trusted)
  await server.stop()
  await rm(dir, { recursive: true })
})

/** The server presents it from its next start on, and from `reload` on. */
async function useCertificate({ certificate, key }: Certificate): Promise<void> {
  await ownedByServer('server.crt', certificate)
  await ownedByServer('server.key', key)
  tls.setDefaultCACertificates([...trusted, certificate])
}

async function ownedByServer(name: string, content: string): Promise<void> {
  const data = join(dir, 'postgres', 'data')
  const { uid, gid } = await stat(data)
  await writeFile(join(data, name), content, { mode: 0o600 })
  await chown(join(data, name), uid, gid)
}

test('over TLS too, a connection that falls silent is lost, and one that is only busy for longer is not', async () => {
  const url = new URL(server.urlFor('postgres'))
  const proxy = await startSilentProxy({ host: url.hostname, port: Number(url.port) })
  url.port = String(proxy.port)
  url.hostname = 'localhost'
  url.search = 'sslmode=require'
  const sql = connect({ url: url.href }, 1, { connectMs: 30_000, statementMs: 4_000, idleMs: 6_000 })

  const busy = readTransaction(sql, async (tx) => {
    // Longer than the ten seconds together, and each far shorter, since a busy machine takes its time too.
    for (let n = 0; n < 5; n++) await tx`select pg_sleep(2.5)`
    return (await tx`select ssl from pg_stat_ssl where pid = pg_backend_pid()`)[0]
  })
  expect(await busy).toEqual({ ssl: true })

  proxy.fallSilent()
  await expect(readTransaction(sql, (tx) => tx`select 1`)).rejects.toMatchObject({
    name: 'LedgerUnavailable',
    message: expect.stringContaining('The database stopped answering: No answer within'),
  })
  proxy.speakAgain()
  expect(await readTransaction(sql, async (tx) => (await tx`select 1 as one`)[0])).toEqual({ one: 1 })
  await sql.end()
  await proxy.stop()
})

test.each([
  ['127.0.0.1', ['localhost'], /altnames: IP: 127\.0\.0\.1 is not in the cert's list/],
  ['127.0.0.1', ['127.0.0.1'], /^one: 1$/],
  ['localhost', ['localhost'], /^one: 1$/],
] as const)('at %s a certificate for %s is checked for that very name', async (host, names, expected) => {
  await useCertificate(selfSigned(names))
  const admin = postgres(server.urlFor('postgres'), { max: 1, ssl: false })
  await admin`select pg_reload_conf()`
  await admin.end()
  const url = new URL(server.urlFor('postgres'))
  url.hostname = host
  url.search = 'sslmode=require'
  const answer = async () => {
    const sql = connect({ url: url.href }, 1)
    try {
      return await readTransaction(sql, async (tx) => `one: ${(await tx`select 1 as one`)[0]?.one}`)
    } catch (error) {
      return String(error)
    } finally {
      await sql.end()
    }
  }
  // The reload reaches new connections a moment later: the former certificate is no longer trusted.
  await expect.poll(answer, { timeout: 60_000 }).toMatch(expected)
})
