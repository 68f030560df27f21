import type { ExitCard } from '../../lambda/exit-card.ts'
import { count, money, table } from './columns.ts'
import type { Place } from './place.ts'
import { commandFor } from './shell.ts'
import { printable } from './terminal.ts'
import { outcomesOf, outcomeText, spoken, wordsFor } from './words.ts'

/** The result of a run as text: what became of whom, in counts that add up, the amounts, the warnings. */
export function summary(card: ExitCard): string {
  const { title, note } = wordsFor(card.mode)
  return textOf([
    `${title} ${card.runId}`,
    `${card.status}: ${printable(card.why)}`,
    ...(note === null ? [] : [note]),
    '',
    ...usersTable(card),
    '',
    ...amountsTable(card),
    ...section(
      'Warnings',
      card.warnings.map((warning) => `  ! ${printable(warning)}`),
    ),
  ])
}

/** Where the logs lie, and the next command. */
export function directions(card: ExitCard, place: Pick<Place, 'locate'>): string {
  const whole = [
    ['users', 'a line a user: what became of them, grant by grant'],
    ['mutations', 'a line a changed row, with before and after'],
    ['errors', 'a line a user who failed'],
  ] as const
  const rows = [
    ...(isClosed(card) ? whole.map(([name, text]) => [`  ${place.locate(card.logs[name])}`, text]) : []),
    [`  ${place.locate(card.logs.run)}`, 'what was asked, the summary, the checksums'],
  ]
  return textOf([
    ...section('Logs', table(rows, ['left', 'left'])),
    ...(card.next === null
      ? []
      : section(`Next: ${printable(card.next.text)}`, [`  ${commandFor(card.next.payload)}`])),
  ])
}

const CLOSED: ReadonlySet<ExitCard['status']> = new Set([
  'complete',
  'complete_with_errors',
  'stopped',
  'cancelled',
])

/** Whether the run's whole logs are written. */
export function isClosed({ status }: ExitCard): boolean {
  return CLOSED.has(status)
}

/** Who was matched, and what became of them. */
export function usersTable(card: ExitCard): string[] {
  const { totals } = card
  const { processed, leftAlone } = outcomesOf(card)
  const rows = [
    ['Users matched', count(totals.usersMatched), ''],
    ['  processed', count(totals.usersProcessed), ''],
    ...processed.map(outcomeRow),
    ['  without a targeted grant', count(totals.usersWithoutGrants), ''],
    ['  left alone', count(totals.usersLeftAlone), ''],
    ...leftAlone.map(outcomeRow),
    ['  failed', count(totals.usersFailed), ''],
    ['  not reached', count(totals.usersNotReached), ''],
    ['Grants targeted', count(totals.grantsTargeted), ''],
  ]
  return table(rows, ['left', 'right', 'left'])
}

function outcomeRow([outcome, users]: [string, number]): string[] {
  return [`    ${outcome}`, count(users), outcomeText(outcome)]
}

/** The sums, with `more` rows of a name and an amount in microdollars below them. */
export function amountsTable(
  { mode, totals }: ExitCard,
  more: readonly (readonly [string, number])[] = [],
): string[] {
  const { free, due, corrections } = wordsFor(mode)
  const users = totals.usersCorrected === 1 ? '1 user' : `${count(totals.usersCorrected)} users`
  const rows: (readonly [string, number])[] = [
    [free, spoken(mode, totals.expiredMicrodollars)],
    [due, spoken(mode, totals.duePaidMicrodollars)],
    [`${corrections}, ${users}`, spoken(mode, totals.correctedMicrodollars)],
    ...more,
  ]
  const amounts = money(rows.map(([, microdollars]) => microdollars))
  return table(
    rows.map(([name], index) => [name, amounts[index] ?? '']),
    ['left', 'right'],
  )
}

/** A heading with its lines below an empty line; nothing at all without lines. */
export function section(heading: string, body: readonly string[]): string[] {
  return body.length === 0 ? [] : ['', heading, ...body]
}

export function textOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('')
}
