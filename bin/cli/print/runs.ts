import type { ListedRun, UnreadableRun } from '../../../lambda/insight/runs.ts'
import { count, money, table, textOf } from './tables.ts'
import { isWriting } from '../../../lambda/archive/runs.ts'
import { wrapped } from './prose.ts'
import { inCommandWords } from '../line/wording.ts'
import { printable } from '../terminal.ts'
import { isPartlyRolledBack } from '../../../lambda/exit-card.ts'

const NO_RUN = 'There is no run in this bucket yet. npm start makes a dry run.\n'

/**
 * The runs of a bucket as a table, the newest first; a rollback's amount is negative, since it restores
 * credit, and what a preview would do has a column of its own. Below it, what is wrong with runs that cannot
 * be read.
 */
export function runsTable(listed: readonly (ListedRun | UnreadableRun)[], width: number): string {
  const runs = listed.filter((run) => 'mode' in run)
  const unreadable = listed.flatMap((run) =>
    'problem' in run ? `${run.runId}: ${inCommandWords(run.problem)}\n` : [],
  )
  const isEmpty = listed.length === 0
  return isEmpty ? NO_RUN : `${runs.length === 0 ? '' : tableOf(runs, width)}${unreadable.join('')}`
}

function statusOf({ status, rolledBackBy, usersRolledBack, usersProcessed }: ListedRun): string {
  if (rolledBackBy.length === 0) return status
  const share = isPartlyRolledBack(usersRolledBack, usersProcessed)
    ? `${usersRolledBack} of ${usersProcessed} `
    : ''
  return `${status}, ${share}rolled back`
}

const AMOUNTS = [
  { head: 'would expire', isOf: ({ mode }: ListedRun) => !isWriting(mode) },
  { head: 'expired', isOf: ({ mode }: ListedRun) => isWriting(mode) },
] as const

function tableOf(runs: readonly ListedRun[], width: number): string {
  const amounts = AMOUNTS.filter(({ isOf }) => runs.some(isOf)).map(({ head, isOf }) => ({
    head,
    // What an abandoned run changed is not known.
    cells: money(
      runs.map((run) => (isOf(run) && run.status !== 'abandoned' ? run.expiredMicrodollars : null)),
    ),
  }))
  const rows = runs.map((run, place) => [
    run.runId,
    statusOf(run),
    `${count(run.usersProcessed)}/${count(run.usersMatched)}`,
    ...amounts.map(({ cells }) => cells[place] ?? ''),
    printable(run.by),
    printable(run.reason ?? ''),
  ])
  const columns = [
    { head: 'run' },
    { head: 'status', least: 8 },
    { head: 'users', right: true, optional: 1 },
    ...amounts.map(({ head }) => ({ head, right: true, optional: 2 }) as const),
    { head: 'by', optional: 4 },
    { head: 'reason', least: 10, optional: 3 },
  ] as const
  const lines = table(columns, rows, width)
  const hidden = columns.map(({ head }) => head).filter((head) => !lines[0]?.includes(head))
  const note = `Left out for lack of room: ${hidden.join(', ')}. A wider window or --json shows all.`
  return textOf(hidden.length === 0 ? lines : [...lines, ...wrapped(note, width)])
}
