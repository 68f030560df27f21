import { dollars } from '../../lambda/exit-card.ts'
import { type ListedRun, listRuns } from '../../lambda/run/runs.ts'
import { count, money, table } from './columns.ts'
import { withToolsHere } from './job.ts'
import { openPlace } from './place.ts'
import type { Terminal } from './terminal.ts'

/** What `--runs` asks for. */
export type RunsCommand = { readonly runs: true; readonly json: boolean }

/**
 * Prints the bucket's runs, the newest first: as a table, or with `json` as a list.
 * @throws UsageError, and whatever reading the bucket throws
 */
export async function showRuns({ json }: RunsCommand, terminal: Terminal): Promise<number> {
  const place = await openPlace(process.env, (text) => terminal.err.write(`${text}\n`))
  try {
    const runs = await withToolsHere(listRuns)
    terminal.out.write(json ? `${JSON.stringify(runs, null, 2)}\n` : runsTable(runs))
    return 0
  } finally {
    await place.close()
  }
}

/** The runs as a table; amounts in dollars, a rollback's negative since it gives back. */
export function runsTable(runs: readonly ListedRun[]): string {
  if (runs.length === 0) return 'This bucket has no run yet. npm start makes a dry run.\n'
  const amounts = money(runs.map((run) => run.expiredMicrodollars))
  const rows = runs.map((run, index) => [
    run.runId,
    run.status,
    `${count(run.usersProcessed)}/${count(run.usersMatched)}`,
    amounts[index] ?? dollars(run.expiredMicrodollars),
    run.source,
    run.reason ?? '',
  ])
  const lines = table(
    [['run', 'status', 'users', 'expired', 'asked by', 'reason'], ...rows],
    ['left', 'left', 'right', 'right', 'left', 'left'],
  )
  return `${lines.join('\n')}\n`
}
