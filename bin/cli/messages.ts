import type { ExitCard } from '../../lambda/exit-card.ts'
import { redact } from '../../lambda/redact.ts'
import { commandFor } from './shell.ts'
import { printable } from './terminal.ts'

/** Errors whose own message says what is wrong and what to do; the sandbox throws plain ones. */
const KNOWN = new Set([
  'Error',
  'UsageError',
  'InvalidEvent',
  'InvalidConfiguration',
  'RunRefused',
  'LedgerUnavailable',
  'LedgerBusy',
  'LedgerRefused',
  'ArchiveUnavailable',
  'ArchiveCorrupt',
  'TotalsDiffer',
  'LeaseLost',
  'SandboxInUse',
])

/**
 * What a person is told of an error: its message, without e-mails and secrets. The stack and the causes only with
 * `debug`; an error that nobody foresaw says so.
 */
export function messageFor(error: unknown, debug: boolean): string {
  const name = error instanceof Error ? error.name : 'Error'
  const message = error instanceof Error ? error.message : String(error)
  const intro = KNOWN.has(name)
    ? message
    : `Unexpected ${name}: ${message}${debug ? '' : '\nRun it again with --debug to see where it comes from.'}`
  const text = redact(debug ? `${intro}\n${stacksOf(error).join('\ncaused by ')}` : intro)
  return `${text.split('\n').map(printable).join('\n')}\n`
}

function stacksOf(error: unknown): string[] {
  const stacks: string[] = []
  for (let at = error; at instanceof Error; at = at.cause)
    stacks.push(at.stack ?? `${at.name}: ${at.message}`)
  return stacks
}

export const STOPPING =
  'Stopping in good order: the pages in flight are finished, and the lease is given back. Ctrl-C again stops hard.'

/** What a hard stop means for the run, as far as is known: its last card, and when its lease lapses. */
export function hardStopText(card: ExitCard | null, leaseLapses: Date | undefined): string {
  const meaning =
    'Stopped hard. Pages in flight were cut off: each was committed as a whole or not at all, and which of them were is found out when the run is gone on with.'
  if (card === null || leaseLapses === undefined) return `${meaning} Where it stands: npm start -- --status`
  return `${meaning} Its lease lapses at ${leaseLapses.toISOString()}. To go on: ${commandFor({ resume: card.runId })} --wait`
}
