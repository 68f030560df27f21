import { amountText, digitsBeyondCents } from '../../money.ts'
import { html, type Html, nothing } from './html.ts'

/** An amount in running text, its digits beyond the cents lighter. */
export function amount(microdollars: number): Html {
  const { main, beyondCents } = amountText(microdollars)
  return html`<span class="amount">${main}${fine(beyondCents)}</span>`
}

/**
 * Table cells of one column, aligned on the decimal point: invisible zeros, drawn by the style sheet so that they are
 * neither read aloud nor copied, make up for the digits that shorter amounts lack. Null is a dash.
 */
export function amountColumn(label: string, amounts: readonly (number | null)[]): Html[] {
  const digits = digitsBeyondCents(amounts)
  return amounts.map((value) => {
    if (value === null)
      return html`<td class="money none" data-label="${label}" data-pad="${zeros(digits)}">–</td>`
    const { main, beyondCents } = amountText(value)
    const padding = zeros(digits - beyondCents.length)
    return html`<td class="money" data-label="${label}" data-pad="${padding}">
      ${main}${fine(beyondCents)}
    </td>`
  })
}

function fine(digits: string): Html {
  return digits === '' ? nothing : html`<span class="fine">${digits}</span>`
}

function zeros(count: number): string {
  return '0'.repeat(count)
}
