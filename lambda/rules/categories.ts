import { add } from './amounts.ts'
import type { CreditLine } from './types.ts'

/**
 * Whether a credit category fits one of the patterns: the same text, or a text that begins with the part
 * before a final `*`. A row without a category fits none.
 */
export function matchesCategory(category: string | null, patterns: readonly string[]): boolean {
  return (
    category !== null &&
    patterns.some((pattern) =>
      pattern.endsWith('*') ? category.startsWith(pattern.slice(0, -1)) : category === pattern,
    )
  )
}

/**
 * Whether a text is a category pattern: not empty, without blanks at its ends, and `*` only as its last
 * character.
 */
export function isCategoryPattern(text: string): boolean {
  return /^[^*]*\*?$/.test(text) && text !== '' && text === text.trim()
}

/** The targeted grants of one credit category: how many, their face value, and what expires of them. */
export type CategoryTotal = {
  readonly creditCategory: string | null
  readonly grants: number
  readonly faceValueMicrodollars: number
  readonly expiredMicrodollars: number
}

/**
 * Totals by credit category over the targeted grants of a plan, or of any number of plans; in order of the
 * category, grants without one first.
 * @throws UnusableValue when a sum leaves ±(2^53 - 1)
 */
export function totalsByCategory(credits: Iterable<CreditLine>): CategoryTotal[] {
  const totals = new Map<string | null, CategoryTotal>()
  for (const { targeted, creditCategory, amountMicrodollars, expiredMicrodollars } of credits) {
    if (!targeted) continue
    const sum = totals.get(creditCategory)
    totals.set(creditCategory, {
      creditCategory,
      grants: (sum?.grants ?? 0) + 1,
      faceValueMicrodollars: add(sum?.faceValueMicrodollars ?? 0, amountMicrodollars),
      expiredMicrodollars: add(sum?.expiredMicrodollars ?? 0, expiredMicrodollars ?? 0),
    })
  }
  return [...totals.values()].toSorted((a, b) =>
    (a.creditCategory ?? '') < (b.creditCategory ?? '') ? -1 : 1,
  )
}
