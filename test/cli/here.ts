import { main } from '../../bin/cli/main.ts'
import { testOutput } from './output.ts'
import type { Ended } from './start.ts'

/**
 * Runs the command in this process, in its folder, with its environment and without a terminal: a process of
 * its own takes most of its time to load the command.
 */
export async function runHere(
  args: readonly string[],
  { cwd, env = {} }: { readonly cwd: string; readonly env?: Record<string, string> },
): Promise<Ended> {
  const before = { env: process.env, cwd: process.cwd() }
  const [out, err] = [testOutput(), testOutput()]
  process.env = { PATH: before.env.PATH, HOME: cwd, ...env }
  process.chdir(cwd)
  try {
    const status = await main(args, { out, err, canAsk: false, now: () => Date.now() })
    return { status, stdout: out.written(), stderr: err.written() }
  } finally {
    process.env = before.env
    process.chdir(before.cwd)
  }
}
