import { type Command, mayWrite, readCommand } from './command.ts'
import { messageFor } from './messages.ts'
import { FAILED, runCommand } from './session.ts'
import type { Terminal } from './terminal.ts'

/** The whole command: from its arguments to its exit status. */
export async function main(args: readonly string[], terminal: Terminal): Promise<number> {
  let command: Command | undefined
  try {
    const read = readCommand(args, process.env, Math.min(terminal.out.columns, 100))
    if ('print' in read) {
      terminal.out.write(read.print)
      return 0
    }
    command = read
    return await runCommand(command, terminal)
  } catch (error) {
    const readonly = process.env.READONLY_DATABASE_URL !== undefined && command && !mayWrite(command.payload)
    const debug = args.includes('--debug')
    terminal.err.write(
      messageFor(error, { debug, payloads: args.includes('--event'), readonly: readonly === true }),
    )
    return FAILED
  }
}
