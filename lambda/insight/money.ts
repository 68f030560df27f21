import { dollars } from '../exit-card.ts'

/** An amount cut after its cents, so that a page can print the digits beyond them more lightly. */
export type AmountText = { readonly main: string; readonly beyondCents: string }

/** `$4,811.27` and `3451`. The digits beyond the cents are empty where the cents are whole. */
export function amountText(microdollars: number): AmountText {
  const text = dollars(microdollars)
  const cents = text.indexOf('.') + 3
  return { main: text.slice(0, cents), beyondCents: text.slice(cents) }
}

/**
 * How many digits beyond the cents the longest of the amounts has, 0 to 4: the width of an aligned
 * column.
 */
export function digitsBeyondCents(amounts: Iterable<number | null>): number {
  let most = 0
  for (const amount of amounts) {
    if (amount !== null) most = Math.max(most, amountText(amount).beyondCents.length)
  }
  return most
}
