import { createHash } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { localFilesOf, type LogServer, openLogServer, openSandbox } from '../sandbox/sandbox.ts'
import { UsageError } from './line/options.ts'
import { quoted } from './line/shell.ts'

/**
 * Where a run works: the sandbox, or a database of one's own with its logs in a bucket or in the sandbox's
 * bucket.
 */
export type Place = {
  readonly sandbox: boolean
  /** Whether a writing command needs --local-logs here. */
  readonly localLogs?: true
  /**
   * A log's s3:// address as a person finds it: the path of a plain file where the bucket is on this machine,
   * null where there is none.
   */
  readonly locate: (url: string) => string | null
  /** The command that shows a log, or with `texts` its lines that hold one of them. */
  readonly lookInto: (url: string, texts?: readonly string[]) => string
  readonly close: () => Promise<void>
}

const DATABASES = ['DATABASE_URL', 'DATABASE_SECRET_ARN'] as const
const OWN = [...DATABASES, 'LOG_BUCKET', 'READONLY_DATABASE_URL', 'READONLY_DATABASE_SECRET_ARN'] as const

/** Settings that would lead the AWS SDK away from a bucket on this machine. */
const ELSEWHERE = ['AWS_PROFILE', 'AWS_SESSION_TOKEN', 'AWS_IGNORE_CONFIGURED_ENDPOINT_URLS'] as const

/**
 * Opens the place that the environment names; without one, the sandbox, whose addresses it sets in `env`,
 * which is the process's own: the AWS SDK reads its settings there. Local logs are for dry runs, unless
 * `localLogs` was given.
 * @throws UsageError when the environment names only a part of a place, or an empty database; SandboxInUse
 */
export async function openPlace(
  env: NodeJS.ProcessEnv,
  { writes, localLogs }: { readonly writes: boolean; readonly localLogs: boolean },
  say: (text: string) => void,
): Promise<Place> {
  refuseEmptyDatabase(env)
  for (const name of OWN) if (env[name] === '') delete env[name]
  if (OWN.every((name) => env[name] === undefined)) {
    refuseLocalLogs(localLogs)
    return openSandboxPlace(env, say)
  }
  if (env.DATABASE_URL !== undefined && env.LOG_BUCKET === undefined) {
    const bucket = localBucketOf(env.DATABASE_URL)
    if (writes && !localLogs && !hasWrittenTo(bucket))
      throw new UsageError(
        'DATABASE_URL is set, but LOG_BUCKET is not, so the logs of a writing run would be on this ' +
          "machine only: another person's command on the same database would not see the run. Nothing was " +
          'done. Set LOG_BUCKET, or add --local-logs.',
      )
    say(
      `No LOG_BUCKET: the logs are in .sandbox/s3/${bucket}/ on this machine. A command that uses ` +
        'another bucket on the same database does not see this run.',
    )
    return { ...localPlace(await openLogServer(bucket), env), sandbox: false, localLogs: true }
  }
  refuseLocalLogs(localLogs)
  refuseHalf(env)
  return { sandbox: false, locate: (url) => url, lookInto: lookIntoBucket, close: async () => {} }
}

/** Each ledger has a bucket of its own, so that runs of several never pass for runs of one. */
function localBucketOf(databaseUrl: string): string {
  if (!URL.canParse(databaseUrl)) return 'logs-of-a-database'
  const { hostname, port, pathname } = new URL(databaseUrl)
  const ledger = `${hostname || 'localhost'}:${port || 5432}${pathname}`
  const words = ledger
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, 45)
  const hash = createHash('sha256').update(ledger).digest('hex').slice(0, 6)
  return `logs-of-${words}-${hash}`.replaceAll(/-+/g, '-')
}

/** Who has written with logs on this machine once need not say so again. */
function hasWrittenTo(bucket: string): boolean {
  const runs = join(localFilesOf(bucket), 'runs')
  return existsSync(runs) && readdirSync(runs).some((id) => !id.includes('dry-run'))
}

/** Whoever sets it means a database: a variable that stayed empty must not lead to the sandbox. */
function refuseEmptyDatabase(env: NodeJS.ProcessEnv): void {
  const empty = DATABASES.find((name) => env[name] === '')
  if (empty === undefined || DATABASES.some((name) => env[name])) return
  throw new UsageError(
    `${empty} is set, but empty. Nothing was done. Give it a value to use your own database, or unset it to ` +
      'use the sandbox.',
  )
}

function refuseLocalLogs(localLogs: boolean): void {
  if (localLogs)
    throw new UsageError(
      '--local-logs is for DATABASE_URL without LOG_BUCKET. Nothing was done. Leave it out, or unset ' +
        'LOG_BUCKET.',
    )
}

function refuseHalf(env: NodeJS.ProcessEnv): void {
  const missing = [
    ...(DATABASES.every((name) => env[name] === undefined) ? ['DATABASE_URL'] : []),
    ...(env.LOG_BUCKET === undefined ? ['LOG_BUCKET'] : []),
  ]
  if (missing.length === 0) return
  const set = OWN.filter((name) => env[name] !== undefined)
  throw new UsageError(
    `${set.join(' and ')} ${set.length === 1 ? 'is' : 'are'} set, but ${missing.join(' and ')} ${missing.length === 1 ? 'is' : 'are'} not. Nothing was done. Set DATABASE_URL and LOG_BUCKET to use your own database, or neither to use the sandbox.`,
  )
}

async function openSandboxPlace(env: NodeJS.ProcessEnv, say: (text: string) => void): Promise<Place> {
  say('Sandbox: PostgreSQL and S3 in .sandbox/')
  const sandbox = await openSandbox()
  if (sandbox.firstStart) say('Sandbox: created a sample ledger. npm run sandbox:reset starts over.')
  return { ...localPlace(sandbox, env), sandbox: true }
}

/** The path of an object on this machine; null where the bucket is elsewhere, or has no such object. */
export function fileHere({ locate }: Pick<Place, 'locate'>, url: string): string | null {
  const found = locate(url)
  return found === null || found.startsWith('s3://') ? null : found
}

function localPlace(server: LogServer, env: NodeJS.ProcessEnv): Omit<Place, 'sandbox'> {
  for (const name of ELSEWHERE) delete env[name]
  Object.assign(env, server.env)
  // npm start works in the project's folder, whatever folder it was called from.
  const here = env.INIT_CWD ?? process.cwd()
  const pathOf = (url: string) => join(server.files, url.replace(`s3://${server.bucket}/`, ''))
  const locate = (url: string) => (existsSync(pathOf(url)) ? relative(here, pathOf(url)) : null)
  const lookInto = (url: string, texts?: readonly string[]) =>
    `${filter(texts)} ${filesAt(relative(here, pathOf(url)))}`
  return { locate, lookInto, close: server.stop }
}

function lookIntoBucket(url: string, texts?: readonly string[]): string {
  if (url.endsWith('.jsonl')) return `aws s3 cp ${quoted(url)} - | ${filter(texts)}`
  return `aws s3 cp --recursive ${quoted(url)} logs && ${filter(texts)} logs/*.jsonl`
}

/** One file, or the parts in a folder. */
function filesAt(path: string): string {
  return path.endsWith('.jsonl') ? quoted(path) : `${quoted(path.replace(/\/$/, ''))}/*.jsonl`
}

function filter(texts: readonly string[] | undefined): string {
  return texts === undefined ? 'less' : `grep -hF ${texts.map((text) => `-e ${quoted(text)}`).join(' ')}`
}
