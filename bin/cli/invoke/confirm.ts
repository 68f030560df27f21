import type { Command } from '../line/command.ts'
import { commandFor } from '../line/shell.ts'
import { beforeWriting } from '../print/before-writing.ts'
import { discardTypedAhead, printable, type Terminal } from '../terminal.ts'
import type { Drive } from './drive.ts'
import { figuresOf } from './figures.ts'
import { readHere } from './job.ts'

/** Whether to write: the person agreed or gave `--yes`, did not agree, or was not asked since writing is held. */
export type Consent = 'agreed' | 'declined' | 'held'

/**
 * Shows where and what would be written, counted now, and asks; with `--yes` it only shows. Where writing is
 * held nothing is asked.
 * @throws as figuresOf
 */
export async function confirm(command: Command, driving: Drive, { err }: Terminal): Promise<Consent> {
  const { progress, interrupt } = driving
  progress.begin('Counting')
  const figures = await readHere(
    command.invocationSeconds,
    async (tools, alive) =>
      figuresOf(command.payload, tools, (users, all) => {
        alive()
        progress.counted(users, all)
      }),
    interrupt.signal,
  )
  progress.end()
  if ('held' in figures) {
    // With --yes the answer of the invocation says so. Without, nobody has agreed to what it would do, were the
    // hold released in this moment.
    if (command.given.yes === true) return 'agreed'
    const release = commandFor({ release: 'why it is safe to write again' })
    progress.say(`Writing is ${printable(figures.held)}. ${release} releases it.`)
    return 'held'
  }
  err.write(beforeWriting(command, figures, err))
  if (command.given.yes === true) return 'agreed'
  const { database, host } = figures.server
  const answer = await ask(`Write to ${printable(database)} on ${host}? Only "yes" continues:`, driving)
  return answer === 'yes' ? 'agreed' : 'declined'
}

/** Asks on standard error; null when the person left the question with Ctrl-C or Ctrl-D. */
async function ask(message: string, { interrupt }: Drive): Promise<string | null> {
  // Only where there is a question.
  const { default: input } = await import('@inquirer/input')
  discardTypedAhead()
  // The prompt closes its line at Ctrl-D, and would wait for ever.
  const left = new AbortController()
  const onKey = (_: string | undefined, key?: { readonly ctrl?: boolean; readonly name?: string }): void => {
    if (key?.ctrl === true && key.name === 'd') left.abort()
  }
  process.stdin.on('keypress', onKey)
  try {
    const signal = AbortSignal.any([interrupt.signal, left.signal])
    const answer = await input({ message }, { output: process.stderr, signal })
    return answer.trim().toLowerCase()
  } catch (error) {
    if (left.signal.aborted) return null
    if (error instanceof Error && error.name === 'ExitPromptError') {
      interrupt.request()
      return null
    }
    if (interrupt.signal.aborted) return null
    throw error
  } finally {
    process.stdin.off('keypress', onKey)
  }
}
