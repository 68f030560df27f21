/** A credit as far as claims go: it covers usage from its baseline on, up to its amount, in microdollars. */
export type Cover = { readonly baseline: bigint; readonly amount: bigint }

/**
 * The greatest usage that these credits can cover together: no usage twice, none from `used` on, each credit
 * only usage that is not before its baseline, and no more than its amount. All of them may reach to `used`,
 * so filling up from the lowest baseline wastes nothing; the dates do not matter.
 */
export function greatestCover(used: bigint, credits: readonly Cover[]): bigint {
  let covered = 0n
  let end: bigint | null = null
  for (const { baseline, amount } of credits.toSorted((a, b) => (a.baseline < b.baseline ? -1 : 1))) {
    const start: bigint = end === null || baseline > end ? baseline : end
    const reach = start + amount < used ? start + amount : used
    if (reach <= start) continue
    covered += reach - start
    end = reach
  }
  return covered
}

/** The same by definition: the size of a maximum matching between units of usage and units of credit. */
export function greatestMatching(used: number, credits: readonly Cover[]): bigint {
  const units = credits.flatMap(({ baseline, amount }) =>
    Array.from({ length: Number(amount) }, () => Number(baseline)),
  )
  const takenBy = new Map<number, number>()
  const place = (unit: number, tried: Set<number>): boolean => {
    for (let point = units[unit] ?? used; point < used; point += 1) {
      if (tried.has(point)) continue
      tried.add(point)
      const other = takenBy.get(point)
      if (other !== undefined && !place(other, tried)) continue
      takenBy.set(point, unit)
      return true
    }
    return false
  }
  return BigInt(units.filter((_, unit) => place(unit, new Set())).length)
}
