import { isPartlyRolledBack } from '../../exit-card.ts'
import { amountColumn, quoted } from './page/values.ts'
import { html, type Html, nothing } from './page/html.ts'
import { pageOf } from './page/shell.ts'
import { counted, number, whenText } from './page/text.ts'
import { modeWords, statusWords } from './words.ts'

/** One run in the list of runs; a run whose objects cannot be read has a problem and no summary. */
export type RunEntry = {
  readonly runId: string
  /** Where its report is, relative to the page or `https://`; null where it has none. */
  readonly report: string | null
  readonly summary: RunSummary | null
  /** What is wrong with a run that cannot be shown. */
  readonly problem: string | null
}

export type RunSummary = {
  readonly mode: string
  readonly instant: string
  readonly status: string
  readonly by: string
  readonly reason: string | null
  readonly usersProcessed: number
  readonly usersMatched: number
  /** As on the exit card: below zero for a rollback. */
  readonly expiredMicrodollars: number
  readonly rolledBackBy: readonly string[]
  readonly usersRolledBack: number
  readonly rollsBack: string | null
  readonly plan: string | null
}

/** All runs as one HTML file, the newest first, each with a link to its report. It has no script. */
export function renderRunsPage(runs: readonly RunEntry[]): string {
  const newestFirst = runs.toSorted((a, b) => (a.runId < b.runId ? 1 : -1))
  const amounts = amountColumn(
    'Amount',
    newestFirst.map(({ summary }) => summary?.expiredMicrodollars ?? null),
  )
  const body = html`<header>
      <p class="kind">Internal credit expiry</p>
      <h1>${headline(runs)}</h1>
    </header>
    <section aria-labelledby="runs-title">
      <h2 id="runs-title">Runs</h2>
      <p>
        Amounts are free credit that expired. A rollback restores credit, so its amount is negative. A preview
        wrote nothing: its amount is what it showed.
      </p>
      <table class="plain runs">
        <thead>
          <tr>
            <th scope="col">Run</th>
            <th scope="col">Status</th>
            <th scope="col">Requested by</th>
            <th scope="col" class="money">Users</th>
            <th scope="col" class="money">Amount</th>
          </tr>
        </thead>
        <tbody>${newestFirst.map((run, index) => row(run, amounts[index] ?? nothing))}</tbody>
      </table>
    </section>`
  return pageOf({ title: 'Runs of the internal credit expiry', body })
}

function headline(runs: readonly RunEntry[]): Html {
  const executed = runs.filter(({ summary }) => summary?.mode === 'execute').length
  const rollbacks = runs.filter(({ summary }) => summary?.mode === 'rollback').length
  const rolledBack = runs.filter(({ summary }) => (summary?.rolledBackBy.length ?? 0) > 0).length
  const previews = runs.filter(({ summary }) => summary && !modeWords(summary.mode).writes).length
  return html`${counted(runs.length, 'run')}: ${counted(executed, 'execute run')}, of which
    ${number(rolledBack)} rolled back wholly or in part, ${counted(rollbacks, 'rollback')} and ${counted(previews, 'preview')}.`
}

function row({ runId, report, summary, problem }: RunEntry, amount: Html): Html {
  if (!summary) {
    return html`<tr>
      <th scope="row">${title(runId, report)}</th>
      <td colspan="4" class="bad">${quoted(problem ?? 'The run cannot be read.')}</td>
    </tr>`
  }
  const status = statusWords(summary.status)
  const reason = summary.reason === null ? nothing : html`<br />${quoted(summary.reason, 240)}`
  const users = `${number(summary.usersProcessed)} of ${number(summary.usersMatched)}`
  return html`<tr>
    <th scope="row">
      ${title(`${modeWords(summary.mode).name}, ${whenText(summary.instant)}`, report)}
      <span class="description"><code>${runId}</code></span>
      ${relations(summary).map((relation) => html`<span class="description">${relation}</span>`)}
    </th>
    <td data-label="Status"><span class="status ${status.tone}">${status.label}</span></td>
    <td data-label="Requested by">
      <span>${quoted(summary.by, 120)}${reason}</span>
    </td>
    <td class="money" data-label="Users">${users}</td>
    ${amount}
  </tr>`
}

function relations({ rolledBackBy, usersRolledBack, usersProcessed, rollsBack, plan }: RunSummary): Html[] {
  const some = isPartlyRolledBack(usersRolledBack, usersProcessed)
    ? html`${counted(usersRolledBack, 'user')} `
    : nothing
  return [
    ...rolledBackBy.map((id) => html`${some}rolled back by <code>${id}</code>`),
    ...(rollsBack === null ? [] : [html`rolls back <code>${rollsBack}</code>`]),
    ...(plan === null ? [] : [html`plan <code>${plan}</code>`]),
  ]
}

/** A link only to an https address or to a file beside this page or below it: never to `javascript:`, say. */
function title(text: string, report: string | null): Html {
  const isSafe = report !== null && /^https:\/\/|^[\w.%-]+(\/[\w.%-]+)*$/.test(report)
  return isSafe ? html`<a href="${report}">${text}</a>` : html`${text}`
}
