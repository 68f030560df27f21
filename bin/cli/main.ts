import { readCommand } from './command.ts'
import { HELP } from './help.ts'
import { messageFor } from './messages.ts'
import { showRuns } from './runs.ts'
import { FAILED, runCommand } from './session.ts'
import type { Terminal } from './terminal.ts'

/** The whole command: from its arguments to its exit status. */
export async function main(args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    const command = readCommand(args, process.env)
    if (command === 'help') {
      terminal.out.write(HELP)
      return 0
    }
    return 'runs' in command ? await showRuns(command, terminal) : await runCommand(command, terminal)
  } catch (error) {
    terminal.err.write(messageFor(error, args.includes('--debug')))
    return FAILED
  }
}
