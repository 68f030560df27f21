import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import { Template } from 'aws-cdk-lib/assertions'
import { LEAST, resourcesOf, stackWith } from '../synthesized.ts'

/**
 * The synthesized asset in a folder of its own, outside this repository, with each function's environment.
 */
export type Asset = {
  readonly dir: string
  readonly environments: Readonly<Record<'job' | 'preview', Record<string, string>>>
  readonly remove: () => Promise<void>
}

type FunctionProperties = {
  readonly Code: { readonly S3Key: string }
  readonly Environment: { readonly Variables: Record<string, string> }
  readonly Handler: string
}

/**
 * Synthesizes with the bundle, and copies the functions' asset to a place from which no node_modules can be
 * reached.
 */
export async function synthesizeAsset(): Promise<Asset> {
  const outdir = await mkdtemp(join(tmpdir(), 'credit-expiry-synth-'))
  const dir = await mkdtemp(join(tmpdir(), 'credit-expiry-asset-'))
  const { app, stack } = stackWith(LEAST, { outdir, bundle: true })
  app.synth()
  const functions = resourcesOf(Template.fromStack(stack), 'AWS::Lambda::Function')
  const [job, preview] = ['FunctionsJob', 'FunctionsPreview'].map(
    (prefix) =>
      functions.find(([id]) => id.startsWith(prefix))?.[1].Properties as FunctionProperties | undefined,
  )
  if (!job || !preview) throw new Error('The template does not have both functions.')
  if (job.Code.S3Key !== preview.Code.S3Key) throw new Error('The functions have different code.')
  for (const { Handler } of [job, preview])
    if (Handler !== 'index.handler') throw new Error(`The handler is ${Handler}.`)
  await cp(join(outdir, `asset.${job.Code.S3Key.replace('.zip', '')}`), dir, { recursive: true })
  await copyFile(join(import.meta.dirname, 'asset-host.ts'), join(dir, 'host.ts'))
  const remove = async () => {
    for (const folder of [outdir, dir]) await rm(folder, { recursive: true, force: true })
  }
  const environments = { job: job.Environment.Variables, preview: preview.Environment.Variables }
  return { dir, environments, remove }
}

export type Answer = {
  readonly card?: unknown
  readonly error?: { readonly name: string; readonly message: string }
}

/** A process that has loaded the asset as Lambda does. */
export type AssetProcess = {
  readonly strangers: readonly string[]
  readonly invoke: (event: unknown) => Promise<Answer>
  /**
   * Everything on standard output and then everything on standard error so far: logs and metrics, one JSON
   * object a line.
   */
  readonly lines: () => object[]
  readonly stop: () => Promise<void>
}

/** Starts Node on the asset, with this environment and nothing else. */
export async function startAsset({ dir }: Asset, env: Record<string, string>): Promise<AssetProcess> {
  const child = fork(join(dir, 'host.ts'), [], {
    cwd: dir,
    env,
    execPath: process.execPath,
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  const output: Buffer[] = []
  const errors: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => output.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => errors.push(chunk))
  const textOf = (chunks: readonly Buffer[]) => Buffer.concat(chunks).toString()
  const { strangers } = (await nextMessage(child, errors)) as { strangers: string[] }
  return {
    strangers,
    invoke: async (event) => {
      child.send(event as object)
      const { call, ...answer } = (await nextMessage(child, errors)) as Answer & { call: number }
      const marker = `{"answered":${call}}\n`
      while (![output, errors].every((chunks) => textOf(chunks).includes(marker))) await pause(1)
      return answer
    },
    lines: () =>
      `${textOf(output)}\n${textOf(errors)}`
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as object),
    stop: async () => {
      child.kill()
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    },
  }
}

async function nextMessage(child: ChildProcess, errors: readonly Buffer[]): Promise<unknown> {
  const controller = new AbortController()
  const { signal } = controller
  const gone = once(child, 'exit', { signal }).then(([code]) => {
    throw new Error(`The process ended with ${String(code)}: ${Buffer.concat(errors).toString()}`)
  })
  try {
    const [message] = (await Promise.race([once(child, 'message', { signal }), gone])) as [unknown]
    return message
  } finally {
    controller.abort()
    await gone.catch(() => undefined)
  }
}

/** A Secrets Manager with both secrets, on the loopback interface, and which of them were read. */
export async function startSecrets(
  secret: string,
): Promise<{ endpoint: string; read: Set<string>; stop: () => Promise<void> }> {
  const read = new Set<string>()
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    read.add((JSON.parse(await text(request)) as { SecretId: string }).SecretId)
    response.setHeader('content-type', 'application/x-amz-json-1.1')
    response.end(
      JSON.stringify({
        ARN: LEAST.databaseSecretArn,
        Name: 'ledger',
        SecretString: secret,
        VersionStages: ['AWSCURRENT'],
      }),
    )
  }
  const server: Server = createServer((request, response) => void answer(request, response))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    endpoint: `http://127.0.0.1:${port}`,
    read,
    stop: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

/** The text of everything that is deployed, and of what a cold start loads of it. */
export async function readBundle({ dir }: Asset): Promise<{ whole: string; atStart: string }> {
  const files = (await readdir(dir)).filter((name) => name.endsWith('.mjs'))
  const texts = new Map<string, string>()
  for (const name of files) texts.set(name, await readFile(join(dir, name), 'utf8'))
  const loaded = new Set(['index.mjs'])
  for (const name of loaded)
    for (const [, imported = ''] of (texts.get(name) ?? '').matchAll(/\b(?:from|import)"\.\/([^"]+)"/g))
      loaded.add(imported)
  const atStart = [...loaded].map((name) => texts.get(name) ?? '').join('\n')
  return { whole: [...texts.values()].join('\n'), atStart }
}
