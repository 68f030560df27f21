import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import postgres from 'postgres'
import * as z from 'zod'
import { NODE_ENVIRONMENT } from '../lambda/constants.ts'
import { startPostgres } from './sandbox/postgres.ts'
import { startS3 } from './sandbox/s3.ts'

/**
 * Measures the bundle of the last `npm run synth`: its size, and how long a fresh process takes from its
 * start to the code's being loaded and to its first query. The database is here and without TLS, and its
 * address is in the environment: on Lambda, a handshake and an answer of Secrets Manager come on top.
 */

const ROUNDS = 15
const BUCKET = 'measured'

const HOST = `
const { handler } = await import(process.env.BUNDLE)
const loaded = Date.now()
const deadline = loaded + 60_000
await handler({}, {
  awsRequestId: '1',
  functionName: 'measured',
  invokedFunctionArn: 'measured',
  getRemainingTimeInMillis: () => deadline - Date.now(),
})
console.error(JSON.stringify({ started: performance.timeOrigin, loaded }))
`

const asset = await assetDir()
const bundle = await codeIn(asset)
console.log(
  `size         ${kilobytes(bundle.length)} minified, ${kilobytes(gzipSync(bundle).length)} compressed`,
)
const rounds = await measure()
console.log(`loaded       ${spread(rounds.map(({ loaded }) => loaded))}`)
console.log(`first query  ${spread(rounds.map(({ firstQuery }) => firstQuery))}`)
console.log(
  `${ROUNDS} fresh processes on Node ${process.version}, milliseconds from the process's start: ` +
    'median (least to most)',
)

/** The folder of the function's code, as the synthesized template names it. */
async function assetDir(): Promise<string> {
  const out = join(import.meta.dirname, '..', 'cdk.out')
  const template = await readFile(join(out, 'CreditExpiry.template.json'), 'utf8')
  const [, hash] = /"S3Key": "([0-9a-f]{64})\.zip"/.exec(template) ?? []
  if (hash === undefined)
    throw new Error('The template in cdk.out has no code asset: run npm run synth first.')
  return join(out, `asset.${hash}`)
}

/** All code that is deployed; what is only loaded when it is needed is in files of its own. */
async function codeIn(dir: string): Promise<Buffer> {
  const files = (await readdir(dir)).filter((name) => name.endsWith('.mjs'))
  return Buffer.concat(await Promise.all(files.map(async (name) => readFile(join(dir, name)))))
}

async function measure(): Promise<{ loaded: number; firstQuery: number }[]> {
  const dir = await mkdtemp(join(tmpdir(), 'credit-expiry-measure-'))
  // As root, PostgreSQL runs as another user, who must be able to enter.
  await chmod(dir, 0o711)
  const server = await startPostgres({ dir: join(dir, 'postgres'), ephemeral: true })
  const s3 = await startS3({ buckets: [BUCKET] })
  const address = new URL(server.urlFor('postgres'))
  const proxy = await startProxy(Number(address.port))
  try {
    await makeTables(address.href)
    address.port = String(proxy.port)
    const measured = []
    for (let round = 0; round < ROUNDS; round++) {
      proxy.forget()
      const { started, loaded } = await invokeInFreshProcess(address.href, s3.endpoint)
      measured.push({ loaded: loaded - started, firstQuery: proxy.firstQueryAt() - started })
    }
    return measured
  } finally {
    proxy.stop()
    await s3.stop()
    await server.stop()
    await rm(dir, { recursive: true, force: true })
  }
}

async function makeTables(url: string): Promise<void> {
  const sql = postgres(url, { max: 1 })
  await sql.unsafe(await readFile(new URL('sandbox/schema.sql', import.meta.url), 'utf8'))
  await sql.end()
}

async function invokeInFreshProcess(
  databaseUrl: string,
  endpoint: string,
): Promise<{ started: number; loaded: number }> {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', HOST], {
    cwd: asset,
    env: {
      ...NODE_ENVIRONMENT,
      BUNDLE: join(asset, 'index.mjs'),
      DATABASE_URL: databaseUrl,
      LOG_BUCKET: BUCKET,
      AWS_ENDPOINT_URL_S3: endpoint,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'measured',
      AWS_SECRET_ACCESS_KEY: 'measured',
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const said = await text(child.stderr)
  const last = said.trim().split('\n').at(-1) ?? ''
  if (!last.startsWith('{"started"')) throw new Error(`The bundle failed: ${said}`)
  return z.object({ started: z.number(), loaded: z.number() }).parse(JSON.parse(last))
}

/** Passes everything on to PostgreSQL, and notes when the first query comes by: a message Q or P. */
async function startProxy(port: number) {
  const sockets = new Set<Socket>()
  let firstQuery: number | null = null
  const server = createServer((client) => {
    const database = connect(port, '127.0.0.1')
    for (const socket of [client, database]) {
      sockets.add(socket)
      socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket))
    }
    client.on('data', (chunk: Buffer) => {
      if (chunk[0] === 0x51 || chunk[0] === 0x50) firstQuery ??= performance.timeOrigin + performance.now()
    })
    client.pipe(database).pipe(client)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The proxy has no port.')
  return {
    port: address.port,
    forget: () => {
      firstQuery = null
    },
    firstQueryAt: () => {
      if (firstQuery === null) throw new Error('No query reached the proxy.')
      return firstQuery
    },
    stop: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

function kilobytes(bytes: number): string {
  return `${Math.round(bytes / 1000)} kB`
}

function spread(values: readonly number[]): string {
  const sorted = values.map(Math.round).toSorted((a, b) => a - b)
  return `${sorted[Math.floor(sorted.length / 2)]} ms (${sorted[0]} to ${sorted.at(-1)})`
}
