import type { ExitCard } from '../../../lambda/exit-card.ts'
import type { Place } from '../place.ts'
import { commandFor } from '../line/shell.ts'
import { wrapped } from './prose.ts'
import { count, money, section, table, textOf } from './tables.ts'
import { printable, type Output } from '../terminal.ts'
import { inCommandWords } from '../line/wording.ts'
import { changedText, outcomesOf, outcomeText, shownAmount, usersText, wordsFor } from './words.ts'

type Out = Pick<Output, 'columns' | 'style'>

/** The result of a run as text: what happened to how many users, the amounts, the warnings. */
export function summary(card: ExitCard, why: string, out: Out): string {
  if (card.runId === '' && card.status === 'complete') return textOf(['This bucket has no run yet.'])
  const { title, note, unchanged = note } = wordsFor(card.mode)
  const said = isClosed(card) && changedNothing(card.totals) ? unchanged : note
  // Without a run there is nothing to explain and to count.
  return textOf([
    out.style('bold', `${title} ${card.runId}`.trimEnd()),
    ...wrapped(statusText(card.status, printable(inCommandWords(why))), out.columns).map((line) =>
      out.style(colourOf(card.status), line),
    ),
    ...(said === null || card.runId === '' ? [] : wrapped(said, out.columns)),
    ...askedLines(card).flatMap((line) => wrapped(printable(line), out.columns, '', '    ')),
    ...(card.runId === '' ? [] : figures(card, out)),
    ...warningsSection(card.warnings, out),
  ])
}

/** Some reasons begin with the status itself: `held by Ada since …`. */
function statusText(status: string, why: string): string {
  return why.startsWith(`${status} `) ? why : `${status}: ${why}`
}

/** A user who is processed has changed rows, even where all amounts are 0. */
function changedNothing(totals: ExitCard['totals']): boolean {
  const { usersProcessed, usersCorrected, expiredMicrodollars, duePaidMicrodollars } = totals
  return [usersProcessed, usersCorrected, expiredMicrodollars, duePaidMicrodollars].every((n) => n === 0)
}

function figures(card: ExitCard, out: Out): string[] {
  return [
    '',
    ...usersTable(card.totals, out.columns),
    '',
    ...amountsTable(card.mode, card.totals, out.columns),
    ...categoriesSection(card, out),
  ]
}

/** Who asked for the run and why, of which version, the run that it belongs to, and what is new since earlier ones. */
function askedLines(card: ExitCard): string[] {
  const { asked, rollsBack, softwareVersion, sincePrevious, sinceExecuted } = card
  return [
    `Asked by: ${asked.by} (${asked.via})`,
    ...(asked.reason === null ? [] : [`Reason: ${asked.reason}`]),
    ...(asked.plan === null ? [] : [`Plan: ${asked.plan}`]),
    ...(rollsBack === null ? [] : [`Rolls back: ${rollsBack}`]),
    `Software version: ${softwareVersion}`,
    ...since('the previous dry run', sincePrevious),
    ...since('the last executed plan', sinceExecuted),
  ]
}

/** Rows of the table of credit categories. */
const CATEGORIES = 8

function since(name: string, found: ExitCard['sincePrevious']): string[] {
  if (found === null) return []
  const { runId, users, grants, expired } = found
  return [`New since ${name} ${runId}: ${usersText(users)}, ${grants} grants, ${expired}`]
}

function sum(amounts: readonly number[]): number {
  return amounts.reduce((total, amount) => total + amount, 0)
}

/** The categories with the largest amounts; the rest in one row. */
function categoriesSection({ mode, byCategory }: ExitCard, out: Out): string[] {
  if (byCategory.length === 0) return []
  const rest = byCategory.slice(CATEGORIES)
  const rows = [
    ...byCategory.slice(0, CATEGORIES),
    ...(rest.length === 0
      ? []
      : [
          {
            category: `${rest.length} other categories`,
            grants: sum(rest.map(({ grants }) => grants)),
            expiredMicrodollars: sum(rest.map(({ expiredMicrodollars }) => expiredMicrodollars)),
            faceValueMicrodollars: sum(rest.map(({ faceValueMicrodollars }) => faceValueMicrodollars)),
          },
        ]),
  ]
  const changed = money(rows.map(({ expiredMicrodollars }) => shownAmount(mode, expiredMicrodollars)))
  const face = money(rows.map(({ faceValueMicrodollars }) => faceValueMicrodollars))
  const columns = [
    { head: 'category', least: 12 },
    { head: 'grants', right: true },
    { head: wordsFor(mode).changed, right: true },
    { head: 'face value', right: true, optional: 1 },
  ] as const
  const cells = rows.map(({ category, grants }, place) => [
    printable(category),
    count(grants),
    changed[place] ?? '',
    face[place] ?? '',
  ])
  return section(
    out.style('bold', 'By credit category'),
    table(columns, cells, out.columns - 2).map((line) => `  ${line}`),
  )
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

/** Where the report and the logs are, and the next command. */
export function directions(card: ExitCard, place: Pick<Place, 'locate' | 'localLogs'>, out: Out): string {
  const logs = [
    ...(isClosed(card) ? (['report', 'users', 'mutations', 'errors'] as const) : []),
    ...(card.runId === '' ? [] : (['run'] as const)),
  ]
  return textOf([
    ...section(
      out.style('bold', 'Report and logs'),
      logs.flatMap((name) => {
        const found = place.locate(card.logs[name])
        return found === null ? [] : [`  ${found}`]
      }),
    ),
    ...nextOfCard(card, place, out),
  ])
}

function nextOfCard({ status, next }: ExitCard, { localLogs }: Pick<Place, 'localLogs'>, out: Out): string[] {
  // While another invocation works on the run, the command alone would give the same answer again.
  const waits = status === 'busy' && next !== null && next.payload.status === undefined
  const flag = localLogs && next?.payload.execute === true ? ' --local-logs' : ''
  if (!waits) return nextSection(next, out, flag)
  const text = 'wait for the other invocation, then continue'
  return section(out.style('bold', `Next: ${text}`), [`  ${commandFor(next.payload)} --wait`])
}

/** The command to run next; no lines where there is none. */
export function nextSection(next: ExitCard['next'], out: Out, flag = ''): string[] {
  if (next === null) return []
  const text = printable(inCommandWords(next.text))
  return section(out.style('bold', `Next: ${text}`), [`  ${commandFor(next.payload)}${flag}`])
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
  const rows = [
    ['Users matched', count(totals.usersMatched), ''],
    ['  processed', count(totals.usersProcessed), ''],
    ...processed.map(outcomeRow),
    ['  without a targeted grant', count(totals.usersWithoutGrants), ''],
    ['  skipped', count(totals.usersSkipped), ''],
    ...skipped.map(outcomeRow),
    ['  failed', count(totals.usersFailed), ''],
    ['  not reached', count(totals.usersNotReached), ''],
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
  const { corrections } = wordsFor(mode)
  const rows: (readonly [string, number])[] = [
    [changedText('Free credit', mode), shownAmount(mode, totals.expiredMicrodollars)],
    [changedText('Due paid credit', mode), shownAmount(mode, totals.duePaidMicrodollars)],
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
