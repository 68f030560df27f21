/** Repeatable choices out of a seed. */
export type Random = {
  /** At least 0 and less than 1. */
  readonly next: () => number
  readonly chance: (probability: number) => boolean
  /** A whole number from `low` to `high`, both included. */
  readonly between: (low: number, high: number) => number
  readonly pick: <T>(choices: readonly T[]) => T
}

/** Numbers from 0 to 1 out of a seed, the same for the same seed (mulberry32, a public-domain recurrence). */
export function random(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Choices out of a seed, the same for the same seed. */
export function randomFrom(seed: number): Random {
  const next = random(seed)
  const between = (low: number, high: number): number => low + Math.floor(next() * (high - low + 1))
  return {
    next,
    between,
    chance: (probability) => next() < probability,
    pick(choices) {
      const choice = choices[between(0, choices.length - 1)]
      if (choice === undefined) throw new Error('There is nothing to pick from.')
      return choice
    },
  }
}
