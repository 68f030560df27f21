import { join, relative } from 'node:path'
import { openSandbox } from '../sandbox/sandbox.ts'
import { quoted } from './shell.ts'
import { UsageError } from './usage-error.ts'

/** Where a run works: the sandbox, or a database and a bucket of one's own. */
export type Place = {
  readonly sandbox: boolean
  /** A log's s3:// address as a person finds it: in the sandbox, the path of a plain file. */
  readonly locate: (url: string) => string
  /** The command that shows a log, or with `texts` the lines of it that hold one of them. */
  readonly lookInto: (url: string, texts?: readonly string[]) => string
  readonly close: () => Promise<void>
}

const DATABASES = ['DATABASE_URL', 'DATABASE_SECRET_ARN'] as const
const OWN = [...DATABASES, 'LOG_BUCKET', 'READONLY_DATABASE_URL', 'READONLY_DATABASE_SECRET_ARN'] as const

/** Settings that would lead the AWS SDK away from the sandbox. */
const ELSEWHERE = ['AWS_PROFILE', 'AWS_SESSION_TOKEN', 'AWS_IGNORE_CONFIGURED_ENDPOINT_URLS'] as const

/**
 * Opens the place that the environment names; without one, the sandbox, whose addresses it sets in `env`. `env` is
 * the process's own: the AWS SDK reads its settings there.
 * @throws UsageError when the environment names only half a place, SandboxInUse
 */
export async function openPlace(env: NodeJS.ProcessEnv, say: (text: string) => void): Promise<Place> {
  for (const name of OWN) if (env[name] === '') delete env[name]
  if (OWN.every((name) => env[name] === undefined)) return openSandboxPlace(env, say)
  refuseHalf(env)
  return {
    sandbox: false,
    locate: (url) => url,
    lookInto: (url, texts) => `aws s3 cp ${quoted(url)} - | ${filter(texts)}`,
    close: async () => {},
  }
}

function refuseHalf(env: NodeJS.ProcessEnv): void {
  const database = DATABASES.find((name) => env[name] !== undefined)
  if (database !== undefined && env.LOG_BUCKET !== undefined) return
  const set = OWN.filter((name) => env[name] !== undefined)
  const missing = [
    ...(database === undefined ? ['DATABASE_URL'] : []),
    ...(env.LOG_BUCKET === undefined ? ['LOG_BUCKET'] : []),
  ]
  throw new UsageError(
    `${set.join(' and ')} ${set.length === 1 ? 'is' : 'are'} set, but ${missing.join(' and ')} ${missing.length === 1 ? 'is' : 'are'} not. Nothing was done. Set both DATABASE_URL and LOG_BUCKET to work on a database of your own, or none of them to work on the sandbox.`,
  )
}

async function openSandboxPlace(env: NodeJS.ProcessEnv, say: (text: string) => void): Promise<Place> {
  say('Sandbox: starting PostgreSQL and S3 in .sandbox …')
  const sandbox = await openSandbox()
  for (const name of ELSEWHERE) delete env[name]
  Object.assign(env, sandbox.env)
  if (sandbox.firstStart) say('Sandbox: made a sample ledger. npm run sandbox:reset starts it over.')
  const prefix = `s3://${sandbox.bucket}/`
  // npm start works in the project's folder, wherever the person stands.
  const here = env.INIT_CWD ?? process.cwd()
  const locate = (url: string) => relative(here, join(sandbox.files, url.replace(prefix, '')))
  return {
    sandbox: true,
    locate,
    lookInto: (url, texts) => `${filter(texts)} ${quoted(locate(url))}`,
    close: sandbox.stop,
  }
}

function filter(texts: readonly string[] | undefined): string {
  return texts === undefined ? 'less' : `grep -F ${texts.map((text) => `-e ${quoted(text)}`).join(' ')}`
}
