import type { HistoryRun } from '../../../../lambda/insight/history/history.ts'
import { dollars } from '../../../../lambda/exit-card.ts'
import { rowText } from '../../../../lambda/insight/row-text.ts'
import { adviceOf, FLAGS, OUTCOMES } from '../../../../lambda/run/lines/glossary.ts'
import { paragraph } from '../prose.ts'
import { type Output, printable } from '../../terminal.ts'
import { inCommandWords } from '../../line/wording.ts'
import { isSkipped, shownAmount, wordsFor } from '../words.ts'
import { grantLines } from './grants.ts'

type Out = Pick<Output, 'columns' | 'style'>

/** The width of the names beside facts. */
const NAME = 13

/** What an outcome is called. */
export function outcomeLabel({ outcome }: HistoryRun): string {
  return new Map(Object.entries(OUTCOMES)).get(outcome)?.label ?? outcome
}

/** One run: when, who, why, the balance, what happened and why, grant by grant. */
export function runSection(run: HistoryRun, out: Out): string[] {
  const day = `${run.at.slice(0, 10)} ${run.at.slice(11, 16)} UTC`
  const facts = [
    ['Run', `${run.runId} (${run.status})`],
    ['Asked by', `${run.by} (${run.via})`],
    ...fact('Reason', run.reason),
    ...fact('Plan', run.plan),
    ...fact('Rolls back', run.rollsBack),
    ...rolledBack(run),
    ...fact('Balance', balanceText(run)),
    ...fact('Correction', correctionText(run)),
    ['Outcome', outcomeText(run)],
    ...fact('Error', run.error && `${run.error.stage}: ${run.error.error}: ${run.error.message}`),
  ] as const
  return [
    out.style('bold', `${day}  ${wordsFor(run.mode).title}  `) + out.style(colourOf(run), outcomeLabel(run)),
    ...facts.flatMap(([name, text]) => factLines(name, text, out)),
    ...warningLines(run, out),
    ...grantLines(run, out),
  ]
}

/** What a person should look at, with the rows that it is about. */
export function warningLines({ flags, rows }: HistoryRun, out: Out): string[] {
  return [
    ...flags.flatMap((flag) => factLines('Warning', flagText(flag), out)),
    ...rows.flatMap((row) => paragraph(`- ${printable(rowText(row))}`, out.columns, '  ', '    ')),
  ]
}

function fact(name: string, text: string | null): (readonly [string, string])[] {
  return text === null ? [] : [[name, text]]
}

function factLines(name: string, text: string, out: Out): string[] {
  const first = `  ${name.padEnd(NAME)}`
  return paragraph(printable(text), out.columns, first, ' '.repeat(first.length))
}

/** Only what wrote can have been rolled back. */
function rolledBack({ mode, rolledBackBy, rollbackProblem }: HistoryRun): (readonly [string, string])[] {
  if (mode !== 'execute') return []
  if (rolledBackBy !== null) return [['Rolled back', `by ${rolledBackBy}`]]
  return [['Rolled back', rollbackProblem === null ? 'no' : `not known: ${rollbackProblem}`]]
}

function balanceText(run: HistoryRun): string | null {
  const { balanceBeforeMicrodollars: before, finalBalanceMicrodollars: after, usedMicrodollars: used } = run
  if (before === null || after === null) return null
  const usage = used === null ? '' : `; ${dollars(used)} used in all`
  return before === after
    ? `${dollars(before)}, unchanged${usage}`
    : `${dollars(before)} before, ${dollars(after)} after${usage}`
}

function correctionText({ mode, correctionMicrodollars: amount }: HistoryRun): string | null {
  if (amount === 0) return null
  const shown = dollars(shownAmount(mode, amount))
  return mode.startsWith('rollback') ? `${shown} removed` : `${shown}, which brings the balance to zero`
}

function outcomeText({ meaning, todo, outcome }: HistoryRun): string {
  const words = needsAttention(outcome) ? inCommandWords(adviceOf({ meaning, todo })) : meaning
  return words === '' ? outcome : words
}

function flagText(flag: string): string {
  const entry = new Map(Object.entries(FLAGS)).get(flag)
  return entry ? adviceOf(entry) : flag
}

function needsAttention(outcome: string): boolean {
  return isSkipped(outcome) || outcome === 'failed' || outcome === 'not_reached'
}

function colourOf({ outcome }: HistoryRun): 'green' | 'yellow' | 'red' | 'bold' {
  if (outcome === 'failed') return 'red'
  return needsAttention(outcome) ? 'yellow' : 'bold'
}
