import { isPartlyRolledBack } from '../../exit-card.ts'
import { amount, quoted } from './page/values.ts'
import { html, type Html, nothing } from './page/html.ts'
import { counted, listed, number, whenText } from './page/text.ts'
import type { ReportCard } from './input.ts'
import { modeWords, statusWords } from './words.ts'

/** The top of a report: what happened, in a sentence; then the figures of the card. */
export function head(card: ReportCard): Html {
  const mode = modeWords(card.mode)
  const status = statusWords(card.status)
  const { reason } = card.asked
  return html`${banners(card)}
    <header>
      <p class="kind"><span>${mode.name}</span> <span class="status ${status.tone}">${status.label}</span></p>
      <h1>${headline(card)}</h1>
      <p class="lede">${remarks(card)}</p>
      <p class="byline">
        <time datetime="${card.instant}">${whenText(card.instant)}</time>, requested by
        ${quoted(card.asked.by, 120)}${reason === null ? nothing : html`: ${quoted(reason)}`}
      </p>
    </header>
    ${figures(card)} ${breakdown(card)}`
}

function banners(card: ReportCard): Html {
  const mode = modeWords(card.mode)
  const all = [
    ...(mode.writes ? [] : [html`<strong>Nothing was written.</strong> ${preview(card)}`]),
    ...(card.rolledBackBy.length === 0
      ? []
      : [html`<strong>This run was rolled back</strong> ${extent(card)} by ${runs(card.rolledBackBy)}.`]),
    ...(card.status.startsWith('complete')
      ? []
      : [html`<strong>${statusWords(card.status).label}.</strong> Reason: ${quoted(card.why)}.`]),
  ]
  return html`${all.map((banner) => html`<p class="banner">${banner}</p>`)}`
}

function preview(card: ReportCard): string {
  return modeWords(card.mode).restores
    ? 'This preview shows what a rollback would do.'
    : 'This dry run shows what an execute run would do.'
}

function extent({ usersRolledBack, totals }: ReportCard): string {
  return isPartlyRolledBack(usersRolledBack, totals.usersProcessed)
    ? `for ${number(usersRolledBack)} of ${counted(totals.usersProcessed, 'user')}`
    : 'wholly'
}

function runs(ids: readonly string[]): Html {
  return html`${ids.map((id, index) => html`${index === 0 ? '' : ', '}<code>${id}</code>`)}`
}

/** `$4,812.00 of free credit expired for 164 of 212 users.` */
function headline(card: ReportCard): Html {
  const { totals } = card
  const { moved } = modeWords(card.mode)
  if (totals.expiredMicrodollars === 0) {
    return html`No free credit ${moved}. ${counted(totals.usersMatched, 'user')}
    ${plural(totals.usersMatched)} in this run.`
  }
  const movers = (totals.outcomes['expired'] ?? 0) + (totals.outcomes['rolled_back'] ?? 0)
  const users = movers === totals.usersMatched && movers > 1 ? 'all' : `${number(movers)} of`
  return html`${amount(Math.abs(totals.expiredMicrodollars))} of free credit ${moved} for ${users}
  ${counted(totals.usersMatched, 'user')}.`
}

function plural(count: number): string {
  return count === 1 ? 'was' : 'were'
}

/** What the headline leaves out: the other users, other credit and corrections. */
function remarks(card: ReportCard): Html {
  const { totals } = card
  const others = [
    ...say(
      totals.outcomes['nothing_to_expire'],
      (n) => `${counted(n, 'user')} had spent every grant already`,
    ),
    ...say(totals.usersWithoutGrants, (n) => `${number(n)} ${n === 1 ? 'has' : 'have'} no open free grant`),
    ...say(totals.usersSkipped, (n) => `${number(n)} ${plural(n)} skipped`),
    ...say(totals.usersFailed, (n) => `${number(n)} failed`),
    ...say(totals.usersNotReached, (n) => `${number(n)} ${plural(n)} not reached`),
  ]
  const listing = others.length === 0 ? '' : `${listed(others)}. `
  return html`${listing}${correctionRemark(card)}${otherCreditRemark(card)}`
}

function correctionRemark({ mode, totals }: ReportCard): Html {
  if (totals.usersCorrected === 0) return nothing
  const { restores, writes } = modeWords(mode)
  const sum = amount(Math.abs(totals.correctedMicrodollars))
  if (restores) {
    const users = counted(totals.usersCorrected, 'user')
    return html`Corrections of ${sum} for ${users} ${writes ? 'were' : 'would be'} removed. `
  }
  const balances = counted(totals.usersCorrected, 'balance')
  return html`Corrections of ${sum} ${writes ? 'brought' : 'would bring'} ${balances} to zero. `
}

function otherCreditRemark({ mode, totals }: ReportCard): Html {
  if (totals.duePaidMicrodollars === 0) return nothing
  const sum = amount(Math.abs(totals.duePaidMicrodollars))
  return html`${sum} of other credit, due by its own date, ${modeWords(mode).moved} in the same pass.`
}

function say(count: number | undefined, sentence: (count: number) => string): string[] {
  return count ? [sentence(count)] : []
}

function figures(card: ReportCard): Html {
  const { totals } = card
  const mode = modeWords(card.mode)
  const all: (readonly [string, Html, string])[] = [
    [
      mode.column,
      amount(Math.abs(totals.expiredMicrodollars)),
      `${counted(totals.grantsTargeted, 'grant')} targeted`,
    ],
    ['Users processed', html`${number(totals.usersProcessed)}`, `of ${number(totals.usersMatched)} matched`],
    [
      mode.restores ? 'Corrections removed' : 'Corrections',
      amount(Math.abs(totals.correctedMicrodollars)),
      counted(totals.usersCorrected, 'user'),
    ],
    [
      'Other credit due',
      amount(Math.abs(totals.duePaidMicrodollars)),
      totals.duePaidMicrodollars === 0 ? 'none was due' : 'counted apart from free credit',
    ],
  ]
  return html`<dl class="figures">
    ${all.map(
      ([name, value, note]) =>
        html`<div>
          <dt>${name}</dt>
          <dd>${value}</dd>
          <dd class="note">${note}</dd>
        </div>`,
    )}
  </dl>`
}

/**
 * Every matched user is in exactly one part, so that the parts add up in front of the reader; one part alone
 * is in the figures already.
 */
function breakdown({ totals }: ReportCard): Html {
  const parts = [
    { name: 'Processed', tone: 'processed', count: totals.usersProcessed },
    { name: 'No open grant', tone: 'without', count: totals.usersWithoutGrants },
    { name: 'Skipped', tone: 'skipped', count: totals.usersSkipped },
    { name: 'Failed', tone: 'failed', count: totals.usersFailed },
    { name: 'Not reached', tone: 'unreached', count: totals.usersNotReached },
  ].filter(({ count }) => count > 0)
  if (parts.length < 2) return nothing
  let start = 0
  const rects = parts.map(({ tone, count }) => {
    const x = start
    start += (count / totals.usersMatched) * 1000
    return html`<rect class="${tone}" x="${x.toFixed(1)}" width="${(start - x).toFixed(1)}" height="10" />`
  })
  return html`<div class="breakdown">
    <svg viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">${rects}</svg>
    <ul>
      ${parts.map(
        ({ name, tone, count }) =>
          html`<li><span class="key ${tone}"></span>${name} <b>${number(count)}</b></li>`,
      )}
    </ul>
  </div>`
}
