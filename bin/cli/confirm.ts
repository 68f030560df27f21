import { readRun, readWriter } from '../../lambda/archive/cursor.ts'
import type { ExitCard } from '../../lambda/exit-card.ts'
import { readServer, type Server } from '../../lambda/ledger/server.ts'
import { type Command, mayWrite } from './command.ts'
import { table } from './columns.ts'
import { drive, type Drive } from './drive.ts'
import { withToolsHere } from './job.ts'
import type { Place } from './place.ts'
import { amountsTable, section, textOf, usersTable } from './report.ts'
import { printable, type Terminal } from './terminal.ts'
import { UsageError } from './usage-error.ts'
import { wordsFor } from './words.ts'

/** Whether a person has to say yes first: the sandbox is for trying out. */
export function needsYes(command: Command, place: Pick<Place, 'sandbox'>): boolean {
  return !place.sandbox && mayWrite(command.payload)
}

/**
 * Refuses what needs a yes where nobody can give it.
 * @throws UsageError
 */
export function refuseWithoutYes(command: Command, terminal: Pick<Terminal, 'canAsk'>): void {
  if (command.yes || terminal.canAsk) return
  throw new UsageError(
    'This writes to a database of your own, and without a terminal nobody can be asked. Nothing was done. Look at a dry run first; then add --yes.',
  )
}

/**
 * Shows where and what would be written, by a fresh count through the handler, and asks; with `--yes` it only shows.
 * 'not counted': the person asked to stop before the count had come to its end.
 * @throws LedgerUnavailable, ArchiveUnavailable, RunRefused, and whatever else the count throws
 */
export async function confirm(
  command: Command,
  given: Drive,
  terminal: Terminal,
): Promise<'yes' | 'no' | 'not counted'> {
  const { server, bucket } = await withToolsHere(async ({ ledger, store }) => ({
    server: await readServer(ledger.writer),
    bucket: store.bucket,
  }))
  given.progress.begin('Counting')
  const card = await count(command, given)
  given.progress.end()
  if (given.interrupt.asked()) return 'not counted'
  const faceValue = await withToolsHere(
    async ({ store }) => (await readRun(store, card.runId))?.matched.faceValueMicrodollars ?? null,
  )
  terminal.err.write(shown(command, server, bucket, card, faceValue))
  if (command.yes) return 'yes'
  const question = `\nWrite to ${printable(server.database)} on ${server.host}? Type yes to go on: `
  return (await terminal.ask(question, given.interrupt.signal)).trim().toLowerCase() === 'yes' ? 'yes' : 'no'
}

/** The card of a run that shows what the command would write, without writing it; of a resume, how far its run is. */
async function count({ event, payload }: Command, given: Drive): Promise<ExitCard> {
  const { invoke, progress } = given
  if (payload.kind === 'resume') return invoke({ status: payload.runId }, progress.show)
  const sizes = fieldsOf(event, ['batchSize', 'concurrency'])
  if (payload.kind === 'rollback') return drive({ rollback: payload.rollback, ...sizes }, given)
  const plan = payload.kind === 'run' ? payload.plan : undefined
  const selecting = plan === undefined ? event : await payloadOf(plan, given)
  return drive(
    { ...fieldsOf(selecting, ['domains', 'userIds']), ...fieldsOf(event, ['limits']), ...sizes },
    given,
  )
}

/** What a dry run was asked for. @throws RunRefused that shows the nearest ids where the bucket knows no such run */
async function payloadOf(dryRunId: string, { invoke, progress }: Drive): Promise<Record<string, unknown>> {
  await invoke({ status: dryRunId }, progress.show)
  return withToolsHere(async ({ store }) => (await readRun(store, dryRunId))?.asked.payload ?? {})
}

function fieldsOf(source: Record<string, unknown>, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(source).filter(([name]) => names.includes(name)))
}

function shown(
  command: Command,
  server: Server,
  bucket: string,
  card: ExitCard,
  faceValueMicrodollars: number | null,
): string {
  const facts = [
    ['Database', `${server.database} on ${server.host}, PostgreSQL ${server.version}`],
    ['Logged in as', server.user],
    ['Log bucket', bucket],
    ['To be sent', shortened(JSON.stringify(command.event))],
  ].map(([name = '', value = '']) => [name, printable(value)])
  return textOf([
    ...table(facts, ['left', 'left']),
    '',
    command.payload.kind === 'resume'
      ? `So far, ${wordsFor(card.mode).title.toLowerCase()} ${card.runId}:`
      : `A fresh count, ${card.runId}:`,
    '',
    ...usersTable(card),
    `Users whose card auto top-up may charge: ${card.totals.flags.auto_top_up_risk ?? 0}`,
    '',
    ...amountsTable(
      card,
      faceValueMicrodollars === null ? [] : [['Face value of the targeted grants', faceValueMicrodollars]],
    ),
    ...section(
      'Warnings',
      card.warnings.map((warning) => `  ! ${printable(warning)}`),
    ),
  ])
}

/** A thousand user ids would hide the rest. */
function shortened(text: string): string {
  return text.length > 300 ? `${text.slice(0, 300)}…` : text
}

/**
 * The id of the open writing run, for `--restart` without one.
 * @throws UsageError when none is open
 */
export async function openWriter(): Promise<string> {
  const runId = await withToolsHere(async ({ store }) => (await readWriter(store))?.document.runId ?? null)
  if (runId !== null) return runId
  throw new UsageError(
    '--restart closes an unfinished writing run first, and none is open. Nothing was done. Leave --restart out.',
  )
}
