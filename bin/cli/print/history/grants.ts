import type { HistoryGrant } from '../../../../lambda/insight/history/grants.ts'
import type { HistoryRun } from '../../../../lambda/insight/history/history.ts'
import { type Column, money, table } from '../tables.ts'
import { paragraph } from '../prose.ts'
import { type Output, printable } from '../../terminal.ts'
import { shownAmount, wordsFor } from '../words.ts'

type Out = Pick<Output, 'columns' | 'style'>

const INDENT = '  '

/**
 * The grants of a user in one run: a line of figures for each, and below it what the grant is and how the
 * figures came about; under several, what the run moved in all.
 */
export function grantLines({ mode, grants, ...run }: HistoryRun, out: Out): string[] {
  if (grants.length === 0) return []
  const total = run.expiredMicrodollars + run.duePaidMicrodollars
  const moved = [...grants.map(({ expiredMicrodollars }) => expiredMicrodollars), total]
  const columns = [
    money(grants.map(({ amountMicrodollars }) => amountMicrodollars)),
    money(grants.map(({ usedMicrodollars }) => usedMicrodollars)),
    money(moved.map((amount) => (amount === null ? null : shownAmount(mode, amount)))),
  ]
  const rows = [
    ...grants.map((grant, at) => [nameOf(grant), ...columns.map((column) => column[at] ?? '')]),
    ['Together', '', '', columns[2]?.at(-1) ?? ''],
  ]
  const [head = '', ...lines] = table(columnsOf(mode), rows, out.columns - INDENT.length)
  return [
    '',
    `${INDENT}${out.style('dim', head)}`,
    ...grants.flatMap((grant, at) => [`${INDENT}${lines[at] ?? ''}`, ...details(grant, out)]),
    ...(grants.length === 1 ? [] : [`${INDENT}${out.style('bold', lines.at(-1) ?? '')}`]),
  ]
}

function columnsOf(mode: string): readonly Column[] {
  return [
    { head: 'grant', least: 12 },
    { head: 'amount', right: true },
    { head: 'used', right: true, optional: 1 },
    { head: wordsFor(mode).changed, right: true },
  ]
}

function nameOf({ description, category }: HistoryGrant): string {
  return printable(description ?? category ?? '–')
}

function details(grant: HistoryGrant, out: Out): string[] {
  const { category, description, createdAt, isFree, targeted, id, why } = grant
  const facts = [
    ...(description === null || category === null ? [] : [category]),
    `granted ${createdAt.slice(0, 10)}`,
    ...(isFree ? [] : ['paid']),
    ...(targeted ? [] : ['not targeted: it was due']),
    id,
  ]
  const deeper = `${INDENT}${INDENT}`
  return [
    ...paragraph(printable(facts.join(', ')), out.columns, deeper),
    ...paragraph(printable(why), out.columns, deeper),
  ].map((line) => out.style('dim', line))
}
