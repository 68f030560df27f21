import { isWriting } from '../../../../lambda/archive/runs.ts'
import type {
  HistoryAnswer,
  HistoryRun,
  UnreadableHistory,
} from '../../../../lambda/insight/history/history.ts'
import { missingText } from '../../../../lambda/insight/history/missing.ts'
import { dollars } from '../../../../lambda/exit-card.ts'
import { nextSection } from '../report.ts'
import { type Column, count, money, section, table, textOf } from '../tables.ts'
import { paragraph } from '../prose.ts'
import { type Output, printable } from '../../terminal.ts'
import { wordsFor } from '../words.ts'
import { outcomeLabel, runSection, warningLines } from './run.ts'

type Out = Pick<Output, 'columns' | 'style'>
type Entry = HistoryRun | UnreadableHistory

/** Sentences on longer lines are hard to read, and in a pipe a line has no end. */
const MOST_COLUMNS = 100

/**
 * What the runs did to one user, for people: who it is, all runs in a table, then each run by itself.
 * `asked` is the id or the e-mail address that the person asked for.
 */
export function historyText(answer: HistoryAnswer, given: Out, asked: string): string {
  const { result, runsNotRead, athena, next } = answer
  const out = { columns: Math.min(given.columns, MOST_COLUMNS), style: given.style }
  const { user, runs } = result
  const told = runs.filter(isTold)
  return textOf([
    out.style('bold', `History of ${printable(user.email ?? user.id)}`),
    ...(user.email === null ? [] : paragraph(`User ID ${printable(user.id)}`, out.columns)),
    ...askedOtherwise(asked, user.email).flatMap((text) => paragraph(text, out.columns)),
    '',
    ...paragraph(result.none ?? inAll(runs, told, missingText(answer)), out.columns),
    ...(told.length < 2 ? [] : overview(told, out)),
    ...grouped(runs).flatMap((group) => ['', ...groupLines(group, out)]),
    ...(runsNotRead === 0 ? [] : notRead(runsNotRead, athena, out)),
    ...nextSection(next, out),
  ])
}

/** An address changes hands: a person must see that the story is told under another one. */
function askedOtherwise(asked: string, email: string | null): string[] {
  if (!asked.includes('@') || email === null || asked.toLowerCase() === email.toLowerCase()) return []
  return [`Asked for as ${printable(asked)}. The newest of these runs logged the address above.`]
}

function isTold(entry: Entry): entry is HistoryRun {
  return !('problem' in entry)
}

/** Everything in one sentence or two. `missing` says which runs the sums lack. */
function inAll(runs: readonly Entry[], told: readonly HistoryRun[], missing: string | null): string {
  const [first] = runs
  const last = runs.at(-1)
  if (first === undefined || last === undefined) return 'No run could be read in time.'
  const wrote = told.filter(({ mode }) => isWriting(mode))
  const dryRuns = told.length - wrote.length
  const atLeast = missing === null ? '' : 'At least '
  const free = movedBy(wrote, (run) => run.expiredMicrodollars, 'was restored')
  const due = movedBy(wrote, (run) => run.duePaidMicrodollars, 'was restored')
  const corrected = movedBy(wrote, (run) => run.correctionMicrodollars, 'was removed')
  return [
    `${count(runs.length)} ${runs.length === 1 ? 'run' : 'runs'}, ${period(first, last)}` +
      `${dryRuns === 0 ? '' : `, ${count(dryRuns)} of them dry, which wrote nothing`}:`,
    `${missing === null ? '' : 'at least '}${free.text('expired')}.`,
    ...(due.isNone ? [] : [`${atLeast}${due.text('of paid credit that was due expired')}.`]),
    ...(corrected.isNone ? [] : [`${atLeast}${corrected.text('of corrections to zero')}.`]),
    missing === null ? balances(wrote) : `The totals are unknown: ${missing}.`,
  ]
    .filter((text) => text !== '')
    .join(' ')
}

function balances(told: readonly HistoryRun[]): string {
  const before = told.find((run) => run.balanceBeforeMicrodollars !== null)?.balanceBeforeMicrodollars
  const after = told.findLast((run) => run.finalBalanceMicrodollars !== null)?.finalBalanceMicrodollars
  if (typeof before !== 'number' || typeof after !== 'number') return ''
  return `Balance ${dollars(before)} before the first, ${dollars(after)} after the last.`
}

/** What the runs moved, and what rollbacks took back of it, whose amounts are below zero. */
function movedBy(runs: readonly HistoryRun[], amount: (run: HistoryRun) => number, undone: string) {
  const amounts = runs.map(amount)
  const moved = sum(amounts.map((one) => Math.max(0, one)))
  const back = sum(amounts.map((one) => Math.max(0, -one)))
  const rolledBack = back === 0 ? '' : `, ${dollars(back)} ${undone} by rollback`
  return {
    isNone: moved === 0 && back === 0,
    text: (what: string) => `${dollars(moved)} ${what}${rolledBack}`,
  }
}

function sum(amounts: readonly number[]): number {
  return amounts.reduce((total, one) => total + one, 0)
}

function period(first: Entry, last: Entry): string {
  const [from, to] = [dayOf(first), dayOf(last)]
  return from === to ? from : `${from} to ${to}`
}

function dayOf({ at }: Entry): string {
  return at.slice(0, 10)
}

/** One line a run; what was restored is negative, as on the exit card. */
function overview(told: readonly HistoryRun[], out: Out): string[] {
  const hasCorrections = told.some((run) => run.correctionMicrodollars !== 0)
  const hasDue = told.some((run) => run.duePaidMicrodollars !== 0)
  const columns: readonly Column[] = [
    { head: 'date' },
    { head: 'mode', optional: 2 },
    { head: 'outcome', least: 12 },
    { head: 'before', right: true },
    { head: 'expired', right: true },
    ...(hasDue ? [{ head: 'due paid', right: true, optional: 1 } as const] : []),
    ...(hasCorrections ? [{ head: 'correction', right: true, optional: 1 } as const] : []),
    { head: 'after', right: true },
  ]
  const amounts = [
    money(told.map((run) => run.balanceBeforeMicrodollars)),
    money(told.map((run) => run.expiredMicrodollars)),
    ...(hasDue ? [money(told.map((run) => run.duePaidMicrodollars))] : []),
    ...(hasCorrections ? [money(told.map((run) => run.correctionMicrodollars))] : []),
    money(told.map((run) => run.finalBalanceMicrodollars)),
  ]
  const rows = told.map((run, at) => [
    dayOf(run),
    wordsFor(run.mode).title,
    run.rolledBackBy === null ? outcomeLabel(run) : `${outcomeLabel(run)}, rolled back`,
    ...amounts.map((column) => column[at] ?? ''),
  ])
  const lines = table(columns, rows, out.columns - 2).map((line) => `  ${line}`)
  return section(out.style('bold', 'All runs'), lines)
}

/** Runs one after the other that changed nothing for the same reason are told together. */
function grouped(runs: readonly Entry[]): Entry[][] {
  const groups: Entry[][] = []
  for (const run of runs) {
    const last = groups.at(-1)
    const before = last?.at(-1)
    if (last && before && isTold(before) && isTold(run) && isQuiet(before) && isSame(before, run))
      last.push(run)
    else groups.push([run])
  }
  return groups
}

function isQuiet(run: HistoryRun): boolean {
  return run.outcome === 'no_targeted_grant' && run.correctionMicrodollars === 0
}

/** Both changed nothing, and the same is to be said of them. */
function isSame(a: HistoryRun, b: HistoryRun): boolean {
  return isQuiet(b) && JSON.stringify([a.flags, a.rows]) === JSON.stringify([b.flags, b.rows])
}

function groupLines(group: readonly Entry[], out: Out): string[] {
  const [first] = group
  const last = group.at(-1)
  if (first === undefined || last === undefined) return []
  if (!isTold(first)) return unreadable(first, out)
  if (group.length === 1) return runSection(first, out)
  return [
    out.style('bold', `${period(first, last)}  ${count(group.length)} runs changed nothing`),
    ...paragraph(printable(first.meaning), out.columns, '  '),
    ...warningLines(first, out),
  ]
}

function unreadable({ runId, at, problem }: UnreadableHistory, out: Out): string[] {
  return [
    out.style('bold', `${at.slice(0, 10)}  This run cannot be read`),
    ...paragraph(`Run ${runId}`, out.columns, '  '),
    ...paragraph(printable(problem), out.columns, '  ').map((line) => out.style('red', line)),
  ]
}

function notRead(runs: number, athena: string, out: Out): string[] {
  const text = `${count(runs)} older ${runs === 1 ? 'run was' : 'runs were'} not read: the time was up. This query in Athena reads all of them:`
  return ['', ...paragraph(text, out.columns), `  ${printable(athena)}`]
}
