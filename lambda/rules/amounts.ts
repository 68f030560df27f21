/**
 * A stored value that the rules cannot work with exactly. It makes this user an error, and no other user:
 * the value is never rounded (1-ledger-rules, "Numbers").
 */
export class UnusableValue extends Error {
  override readonly name = 'UnusableValue'
}

/**
 * The exact sum in microdollars.
 * @throws UnusableValue when it leaves ±(2^53 - 1), with the name of the sum if it has one
 */
export function add(a: number, b: number, name = 'the sum'): number {
  const sum = a + b
  if (!Number.isSafeInteger(sum))
    throw new UnusableValue(`${name} of ${a} and ${b} microdollars leaves ±(2^53 - 1)`)
  return sum
}

/**
 * A PostgreSQL bigint, which arrives as text, as a number.
 * @throws UnusableValue when it lies outside ±(2^53 - 1)
 */
export function parseMicrodollars(column: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new UnusableValue(`${column} is ${text}, outside ±(2^53 - 1)`)
  return value
}
