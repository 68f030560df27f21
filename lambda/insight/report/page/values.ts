import { amountText, digitsBeyondCents } from '../../money.ts'
import { html, type Html } from './html.ts'
import { shown } from './text.ts'

/** An amount, its digits beyond the cents lighter. */
export function amount(microdollars: number): Html {
  const { main, beyondCents } = amountText(microdollars)
  if (beyondCents === '') return html`<span class="amount">${main}</span>`
  return html`<span class="amount">${main}<span class="fine">${beyondCents}</span></span>`
}

/**
 * Table cells of one column, aligned on the decimal point: invisible zeros, drawn by the style sheet so
 * that they are neither read aloud nor copied, make up for the digits that shorter amounts lack. Null is
 * a dash.
 */
export function amountColumn(label: string, amounts: readonly (number | null)[]): Html[] {
  const digits = digitsBeyondCents(amounts)
  return amounts.map((value) => {
    const padding = '0'.repeat(digits - (value === null ? 0 : amountText(value).beyondCents.length))
    const content = value === null ? html`<span class="none">–</span>` : amount(value)
    return html`<td class="money" data-label="${label}" data-pad="${padding}">${content}</td>`
  })
}

/**
 * Text from a log or a card, shortened and isolated, so that its direction of writing cannot reach its
 * neighbours.
 */
export function quoted(text: string, limit = 400): Html {
  return html`<bdi>${shown(text, limit)}</bdi>`
}
