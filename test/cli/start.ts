import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { vi } from 'vitest'
import { quoted } from '../../bin/cli/line/shell.ts'
import type { TestBucket } from '../support/bucket.ts'

// Commands are processes, and may take long on a busy machine: no test here fails by time.
vi.setConfig({ testTimeout: 900_000, hookTimeout: 900_000 })

const START = fileURLToPath(new URL('../../bin/start.js', import.meta.url))

/** How a command ended, and what it wrote. */
export type Ended = { readonly status: number | null; readonly stdout: string; readonly stderr: string }

/** A command that runs. */
export type Running = {
  readonly child: ChildProcess
  /** Types on the keyboard. */
  readonly type: (text: string) => void
  /** Resolves once the command has said this, on either output. Throws an Error when it ends without it. */
  readonly said: (text: string) => Promise<void>
  readonly ended: Promise<Ended>
}

type How = {
  readonly cwd: string
  readonly env?: Record<string, string>
  /** The module to run, in place of the command. */
  readonly program?: string
  /** A file that takes the standard output. */
  readonly output?: string
}

/** Starts the real command in `cwd`, with nothing of this process's environment but what it needs to run. */
export function start(args: readonly string[], { cwd, env = {}, program = START, output }: How): Running {
  const options = { cwd, env: { PATH: process.env.PATH, HOME: cwd, ...env } }
  const words = [process.execPath, program, ...args]
  if (output === undefined) return running(spawn(process.execPath, words.slice(1), options))
  return running(spawn('sh', ['-c', `exec ${words.map(quoted).join(' ')} > ${quoted(output)}`], options))
}

/** Whether commands can be given a terminal here: that takes util-linux's script. */
export const hasTerminals = process.platform === 'linux' && existsSync('/usr/bin/script')

/**
 * The same with a terminal as standard input, output and error: what goes to either output is in `stdout`.
 */
export function startOnTerminal(
  args: readonly string[],
  { cwd, env = {}, program = START, columns = 80 }: How & { readonly columns?: number },
): Running {
  // In the shell's place: that would end with the signal itself, whatever the command makes of it.
  const words = ['exec', process.execPath, program, ...args].map(quoted)
  const options = { cwd, env: { PATH: process.env.PATH, HOME: cwd, TERM: 'xterm', ...env } }
  return running(spawn('script', ['-qec', `stty cols ${columns}; ${words.join(' ')}`, '/dev/null'], options))
}

function running(child: ChildProcessWithoutNullStreams): Running {
  const output = { stdout: '', stderr: '' }
  const waiting = new Set<() => void>()
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
      for (const look of waiting) look()
    })
  }
  const ended = once(child, 'close').then(() => ({ status: child.exitCode, ...output }))
  const hasSaid = (text: string) => output.stdout.includes(text) || output.stderr.includes(text)
  const said = async (text: string) => {
    const found = new Promise<void>((resolve) => {
      const look = () => {
        if (hasSaid(text)) resolve()
      }
      waiting.add(look)
      look()
    })
    await Promise.race([found, ended])
    if (!hasSaid(text))
      throw new Error(`The command ended without saying "${text}": ${output.stdout}${output.stderr}`)
  }
  return { child, said, type: (text) => void child.stdin.write(text), ended }
}

/** The environment of a command that works on a database and a bucket of its own. */
export function ownPlace(databaseUrl: string, { bucket, endpoint }: TestBucket): Record<string, string> {
  return {
    DATABASE_URL: databaseUrl,
    LOG_BUCKET: bucket,
    AWS_ENDPOINT_URL_S3: endpoint,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
  }
}
