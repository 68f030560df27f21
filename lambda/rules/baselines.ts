import { add } from './amounts.ts'

/** Many baselines at once, all of them raised by one claimed window after another. */
export type Baselines = {
  /** The present baseline of the one at `index` in the list given, in microdollars. */
  at(index: number): number
  /**
   * Claims the window [from, from + claimed): a baseline below it moves up by `claimed`, one within it
   * moves to its end, and one behind it stays. That is the published rule
   * "raised by min(claimed, from + claimed - baseline) where positive".
   * @throws UnusableValue when the window, or the distance from the lowest baseline to its end, leaves the
   *   safe integers
   */
  raise(from: number, claimed: number): void
}

/**
 * Keeps the baselines so that a claim costs O(log n), not O(n): 50,000 grants of one user would otherwise
 * take minutes. A claim never changes the order of two baselines. So in that order it is enough to keep their
 * distances: a claim raises all of them by `claimed` and takes as much out of the distances behind `from`,
 * nearest first. A distance that is used up stays 0, so all claims together visit each distance once.
 * @throws UnusableValue when the lowest and the highest baseline lie further apart than the safe integers
 */
export function trackBaselines(initial: readonly number[]): Baselines {
  const order = initial.map((_, index) => index).toSorted((a, b) => (initial[a] ?? 0) - (initial[b] ?? 0))
  const rank = new Uint32Array(initial.length)
  order.forEach((index, position) => (rank[index] = position))

  const count = order.length
  const lowest = initial[order[0] ?? 0] ?? 0
  // A Fenwick tree of the distances: a baseline is the lowest one plus all distances up to its own.
  const sums = new Float64Array(count + 1)
  const widen = (position: number, by: number): void => {
    for (let i = position + 1; i <= count; i += i & -i) sums[i] = (sums[i] ?? 0) + by
  }
  const valueAt = (position: number): number => {
    let value = lowest
    for (let i = position + 1; i > 0; i -= i & -i) value += sums[i] ?? 0
    return value
  }
  /** The first position whose baseline lies above `limit`, or `count`. */
  const firstAbove = (limit: number): number => {
    let [position, value] = [0, lowest]
    for (let step = 2 ** 31; step >= 1; step /= 2) {
      if (position + step > count) continue
      const beyond = value + (sums[position + step] ?? 0)
      if (beyond <= limit) [position, value] = [position + step, beyond]
    }
    return position
  }

  let before = lowest
  for (const [position, index] of order.entries()) {
    const value = initial[index] ?? 0
    add(value, -lowest)
    widen(position, value - before)
    before = value
  }

  return {
    at: (index) => valueAt(rank[index] ?? 0),
    raise(from, claimed) {
      if (claimed <= 0 || count === 0) return
      add(add(from, claimed), -lowest)
      for (let left = claimed; left > 0;) {
        const position = firstAbove(from)
        if (position === count) break
        const taken = Math.min(left, valueAt(position) - from)
        widen(position, -taken)
        left -= taken
      }
      widen(0, claimed)
    },
  }
}
