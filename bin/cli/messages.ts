import { redact } from '../../lambda/redact.ts'
import type { ExitCard } from '../../lambda/exit-card.ts'
import type { Given } from './line/options.ts'
import { commandFor } from './line/shell.ts'
import { prose } from './print/prose.ts'
import { printable } from './terminal.ts'
import { inCommandWords } from './line/wording.ts'
import { namingReadonlyUrl } from '../../lambda/ledger/errors.ts'

/** Errors whose own message says what is wrong and what to do; the sandbox throws plain ones. */
const KNOWN = new Set([
  'Error',
  'UsageError',
  'InvalidEvent',
  'InvalidConfiguration',
  'RunRefused',
  'PlannedByOtherVersion',
  'LedgerUnavailable',
  'LedgerBusy',
  'LedgerRefused',
  'ArchiveUnavailable',
  'ArchiveCorrupt',
  'SigningFailed',
  'TotalsDiffer',
  'LeaseLost',
  'SandboxInUse',
  'DeadlinePassed',
])

/** How an error is shown. */
export type Telling = {
  /** With stacks and causes. */
  readonly debug: boolean
  /** Characters a line. */
  readonly columns: number
  /** The person wrote a payload, so that messages keep its words. */
  readonly payloads: boolean
  /** The command reads through READONLY_DATABASE_URL, so that this is the variable to check. */
  readonly readonly: boolean
  /** The options as typed, so that a message can repeat the user that it is about. */
  readonly given: Given
}

/**
 * What a person reads about an error: its message, without secrets, and without e-mails that were not typed.
 * An unexpected error says so.
 */
export function messageFor(error: unknown, telling: Telling): string {
  const { debug, columns, payloads, readonly, given } = telling
  const name = error instanceof Error ? error.name : 'Error'
  const message = told(error, payloads, given)
  const blamed = readonly && name === 'LedgerUnavailable' ? namingReadonlyUrl(message) : message
  const lines = [
    ...(KNOWN.has(name) ? blamed : `Unexpected ${name}: ${blamed}`)
      .split('\n')
      .map((line) => prose(printable(line), columns)),
    ...(KNOWN.has(name) || debug ? [] : ['Run it again with --debug to see where it comes from.']),
    ...(debug ? redact(stacksOf(error).join('\ncaused by ')).split('\n').map(printable) : []),
  ]
  return `${lines.join('\n')}\n`
}

function told(error: unknown, payloads: boolean, given: Given): string {
  const message = error instanceof Error ? error.message : String(error)
  // Its text is this command's own, and repeats what was typed.
  if (error instanceof Error && error.name === 'UsageError') return message
  if (payloads) return redact(message)
  return redact(inCommandWords(message)).replaceAll(
    /--(user-ids|except-user-ids) \[(\d+)\]/g,
    (_, name: string, place: string) => `--${name} ${typedUser(given, name, Number(place))}`,
  )
}

function typedUser(given: Given, name: string, place: number): string {
  const users = name === 'user-ids' ? given.userIds : given.exceptUserIds
  return Array.isArray(users) ? String(users[place]) : `[${place}]`
}

function stacksOf(error: unknown): string[] {
  const stacks: string[] = []
  for (let at = error; at instanceof Error; at = at.cause)
    stacks.push(at.stack ?? `${at.name}: ${at.message}`)
  return stacks
}

export function stoppingText(how: string): string {
  return `${how}: stopping after the pages in flight. ${how} again stops at once.`
}

/** What a hard stop means for the run: its last card, and when its lease expires, as far as it is known. */
export function hardStopText(how: string, card: ExitCard | null, leaseExpires: Date): string {
  const meaning = `${how}: stopped at once. Each page in flight was committed as a whole or not at all; resuming the run determines which were committed.`
  if (card === null) return `${meaning} To see the run: npm start -- --status`
  const resume = `${commandFor({ resume: card.runId })} --wait`
  return `${meaning} Its lease expires at ${leaseExpires.toISOString()}. To continue: ${resume}`
}
