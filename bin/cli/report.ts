import type { ExitCard } from '../../lambda/exit-card.ts'
import type { Place } from './place.ts'
import { commandFor } from './shell.ts'
import { count, money, section, table, textOf, wrapped } from './tables.ts'
import { printable, type Output } from './terminal.ts'
import { inCommandWords } from './wording.ts'
import { outcomesOf, outcomeText, shownAmount, usersText, wordsFor } from './words.ts'

type Out = Pick<Output, 'columns' | 'style'>

/** The result of a run as text: what happened to how many users, the amounts, the warnings. */
export function summary(card: ExitCard, why: string, out: Out): string {
  const { title, note } = wordsFor(card.mode)
  return textOf([
    out.style('bold', `${title} ${card.runId}`),
    ...wrapped(`${card.status}: ${printable(inCommandWords(why))}`, out.columns).map((line) =>
      out.style(colourOf(card.status), line),
    ),
    ...(note === null ? [] : wrapped(note, out.columns)),
    '',
    ...usersTable(card.totals, out.columns),
    '',
    ...amountsTable(card.mode, card.totals, out.columns),
    ...warningsSection(card.warnings, out),
  ])
}

function colourOf(status: ExitCard['status']): 'green' | 'yellow' | 'red' {
  if (status === 'complete') return 'green'
  return status === 'refused' || status === 'stopped' ? 'red' : 'yellow'
}

export function warningsSection(warnings: readonly string[], out: Out): string[] {
  const lines = warnings.flatMap((warning) =>
    wrapped(printable(inCommandWords(warning)), out.columns, '  ! ', '    '),
  )
  return section(
    'Warnings',
    lines.map((line) => out.style('yellow', line)),
  )
}

/** Where the logs are, and the next command. */
export function directions(card: ExitCard, place: Pick<Place, 'locate'>, out: Out): string {
  const logs = [
    ...(isClosed(card) ? (['users', 'mutations', 'errors'] as const) : []),
    ...(card.runId === '' ? [] : (['run'] as const)),
  ]
  return textOf([
    ...section(
      out.style('bold', 'Logs'),
      logs.map((name) => `  ${place.locate(card.logs[name])}`),
    ),
    ...nextCommand(card, out),
  ])
}

function nextCommand({ status, next }: ExitCard, out: Out): string[] {
  if (next === null) return []
  // While another invocation works on the run, the command alone would give the same answer again.
  const wait = status === 'busy' && next.payload.status === undefined
  const text = wait ? 'wait for the other invocation, then continue' : printable(inCommandWords(next.text))
  const command = `${commandFor(next.payload)}${wait ? ' --wait' : ''}`
  return section(out.style('bold', `Next: ${text}`), [`  ${command}`])
}

const CLOSED: ReadonlySet<ExitCard['status']> = new Set([
  'complete',
  'complete_with_errors',
  'stopped',
  'cancelled',
])

/** Whether the run has come to its final status. */
export function isClosed({ status, runId }: ExitCard): boolean {
  return CLOSED.has(status) && runId !== ''
}

/** How many users were matched, and what happened to them. */
export function usersTable(totals: ExitCard['totals'], width: number): string[] {
  const { processed, skipped } = outcomesOf(totals)
  const skippedUsers = skipped.reduce((sum, [, users]) => sum + users, 0)
  const { usersMatched, usersProcessed, usersWithoutGrants, usersFailed } = totals
  const reached = usersProcessed + usersWithoutGrants + skippedUsers + usersFailed
  const rows = [
    ['Users matched', count(usersMatched), ''],
    ['  processed', count(usersProcessed), ''],
    ...processed.map(outcomeRow),
    ['  without a targeted grant', count(usersWithoutGrants), ''],
    ['  skipped', count(skippedUsers), ''],
    ...skipped.map(outcomeRow),
    ['  failed', count(usersFailed), ''],
    ['  not reached', count(usersMatched - reached), ''],
    ['Grants targeted', count(totals.grantsTargeted), ''],
  ]
  return table([{ head: '' }, { head: '', right: true }, { head: '', least: 16, optional: 1 }], rows, width)
}

function outcomeRow([outcome, users]: readonly [string, number]): string[] {
  return [`    ${outcome}`, count(users), outcomeText(outcome)]
}

/** The sums, with `more` rows of a name and an amount in microdollars below them. */
export function amountsTable(
  mode: string,
  totals: ExitCard['totals'],
  width: number,
  more: readonly (readonly [string, number])[] = [],
): string[] {
  const { free, due, corrections } = wordsFor(mode)
  const rows: (readonly [string, number])[] = [
    [free, shownAmount(mode, totals.expiredMicrodollars)],
    [due, shownAmount(mode, totals.duePaidMicrodollars)],
    [`${corrections}, ${usersText(totals.usersCorrected)}`, shownAmount(mode, totals.correctedMicrodollars)],
    ...more,
  ]
  const amounts = money(rows.map(([, microdollars]) => microdollars))
  return table(
    [
      { head: '', least: 20 },
      { head: '', right: true },
    ],
    rows.map(([name], place) => [name, amounts[place] ?? '']),
    width,
  )
}
