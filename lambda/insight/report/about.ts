import { html, type Html, nothing } from './page/html.ts'
import { counted, number, shown, whenText } from './page/text.ts'
import { quoted } from './page/values.ts'
import type { NewSince } from '../../exit-card.ts'
import type { ReportCard } from './input.ts'
import { modeWords, statusWords } from './words.ts'

/** Who asked for the run, why and when, and how it is related to other runs. */
export function about(card: ReportCard): Html {
  const { asked } = card
  const facts: (readonly [string, Html])[] = [
    ['Run', html`<code>${card.runId}</code>`],
    ['Mode', html`${modeWords(card.mode).name}`],
    ['Status', html`${statusWords(card.status).label}: ${quoted(card.why)}`],
    [
      'Requested by',
      html`${quoted(asked.by, 120)} <span class="quiet">through ${quoted(asked.via, 240)}</span>`,
    ],
    [
      'Reason',
      asked.reason === null ? html`<span class="quiet">none given</span>` : html`${quoted(asked.reason)}`,
    ],
    ['Instant', html`<time datetime="${card.instant}">${whenText(card.instant)}</time>`],
    ['Domains', html`<bdi>${card.domains.join(', ')}</bdi>`],
    ['Software version', quoted(card.softwareVersion)],
    ...fact('Plan', asked.plan, 'the dry run that was approved'),
    ...fact('Rolls back', card.rollsBack, ''),
    [
      'Rolled back',
      card.rolledBackBy.length === 0
        ? html`no`
        : html`${number(card.usersRolledBack)} of ${counted(card.totals.usersProcessed, 'user')}, by
            <code>${card.rolledBackBy.join(', ')}</code>`,
    ],
    ['Payload', html`<code>${shown(JSON.stringify(asked.payload), 600)}</code>`],
  ]
  return html`<section aria-labelledby="about">
    <h2 id="about">About this run</h2>
    <dl class="facts">
      ${facts.map(
        ([name, value]) =>
          html`<dt>${name}</dt>
            <dd>${value}</dd>`,
      )}
    </dl>
  </section>`
}

function fact(name: string, runId: string | null, note: string): (readonly [string, Html])[] {
  return runId === null ? [] : [[name, html`<code>${runId}</code> <span class="quiet">${note}</span>`]]
}

/** What a dry run shows that was not there before. */
export function newSince({ sincePrevious, sinceExecuted }: ReportCard): Html {
  const items = [
    ...(sincePrevious ? [since('the latest dry run of the same selection', sincePrevious)] : []),
    ...(sinceExecuted ? [since('the last executed plan', sinceExecuted)] : []),
  ]
  if (items.length === 0) return nothing
  return html`<section aria-labelledby="new">
    <h2 id="new">What is new</h2>
    <ul class="people">
      ${items}
    </ul>
  </section>`
}

function since(what: string, { runId, users, grants, expired }: NewSince): Html {
  return html`<li>
    ${counted(users, 'user')}, ${counted(grants, 'grant')} and ${expired} since ${what}, <code>${runId}</code>
  </li>`
}

/** What to do next, and where everything is. */
export function nextStep(card: ReportCard): Html {
  return html`<section aria-labelledby="next">
    <h2 id="next">Next step</h2>
    ${
      card.next === null
        ? html`<p>Nothing needs to be done.</p>`
        : html`<p>To ${card.next.text}, send this payload to the workflow or the function:</p>
            <pre
              tabindex="0"
              aria-label="Payload of the next step"
            ><code>${JSON.stringify(card.next.payload, null, 2)}</code></pre>`
    }
    <h3>Logs</h3>
    <dl class="facts">
      ${(['users', 'mutations', 'errors', 'run'] as const).map(
        (name) =>
          html`<dt>${name}</dt>
            <dd>${location(card.logs[name], card.logs.console[name])}</dd>`,
      )}
    </dl>
  </section>`
}

/** With a link to the console. Only an https address is a link: whatever else a card holds is text. */
function location(place: string, page: string): Html {
  const text = html`<code>${place}</code>`
  return page.startsWith('https://') ? html`<a href="${page}" rel="noreferrer">${text}</a>` : text
}
