import { random } from '../support/random.ts'

/** A small generator of repeatable choices: the same seed gives the same sequence everywhere. */
export type Random = {
  /** At least 0 and less than 1. */
  readonly next: () => number
  readonly chance: (probability: number) => boolean
  /** A whole number from `low` to `high`, both included. */
  readonly between: (low: number, high: number) => number
  readonly pick: <T>(choices: readonly T[]) => T
}

export function randomFrom(seed: number): Random {
  const next = random(seed)
  const between = (low: number, high: number) => low + Math.floor(next() * (high - low + 1))
  return {
    next,
    between,
    chance: (probability) => next() < probability,
    pick: (choices) => {
      const choice = choices[Math.floor(next() * choices.length)]
      if (choice === undefined) throw new Error('There is nothing to pick from.')
      return choice
    },
  }
}
