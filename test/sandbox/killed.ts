import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { vi } from 'vitest'

// Servers start and stop here, which may take long on a busy machine: no test fails by time.
vi.setConfig({ testTimeout: 900_000, hookTimeout: 900_000 })

/**
 * Runs a module's code in a process of its own, waits for its first line of output, and kills the process as
 * a crash would. Gives that line. Throws an Error when the process ends before it prints one.
 */
export async function runAndKill(code: string): Promise<string> {
  const child = spawn(
    process.execPath,
    ['--input-type=module', '--eval', `${code}\nsetInterval(() => {}, 1000)`],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const ended = once(child, 'exit')
  const line = await Promise.race([
    once(createInterface(child.stdout), 'line').then(([first]) => String(first)),
    ended.then(() => undefined),
  ])
  child.kill('SIGKILL')
  await ended
  if (line === undefined) throw new Error('The process ended before it printed anything.')
  return line
}
