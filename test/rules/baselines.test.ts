import { describe, expect, test } from 'vitest'
import { UnusableValue } from '../../lambda/rules/amounts.ts'
import { trackBaselines } from '../../lambda/rules/baselines.ts'
import { fc, SEED } from './fuzz.ts'

type Claim = readonly [from: number, claimed: number]

/** All baselines after these claims. */
function after(initial: readonly number[], ...claims: Claim[]): number[] {
  const baselines = trackBaselines(initial)
  for (const [from, claimed] of claims) baselines.raise(from, claimed)
  return initial.map((_, index) => baselines.at(index))
}

/** The published rule, one baseline at a time. */
function published(initial: readonly number[], ...claims: Claim[]): number[] {
  return initial.map((start) =>
    claims.reduce(
      (baseline, [from, claimed]) => baseline + Math.max(0, Math.min(claimed, from + claimed - baseline)),
      start,
    ),
  )
}

describe('a claim of [4, 4 + 3)', () => {
  test.each([
    ['moves a baseline far below it up by 3', 0, 3],
    ['moves one just below it up by 3', 3, 6],
    ['moves one at its start to its end', 4, 7],
    ['moves one within it to its end', 6, 7],
    ['leaves one at its end', 7, 7],
    ['leaves one behind it', 9, 9],
  ])('%s', (_, before, expected) => {
    expect(after([before], [4, 3])).toEqual([expected])
  })
})

describe('claims in turn', () => {
  test('move those who fell together as one', () => {
    expect(after([5, 4, 6, 9], [4, 3], [0, 2], [8, 1])).toEqual([8, 8, 8, 9])
  })

  test('answer in the order given, not in that of the baselines', () => {
    expect(after([9, 0, 5], [4, 3])).toEqual([9, 3, 7])
  })

  test('of nothing move no baseline', () => {
    expect(after([0, 4, 9], [4, 0], [4, -1])).toEqual([0, 4, 9])
  })

  test('may find no baseline at all', () => {
    expect(after([], [4, 3])).toEqual([])
  })

  test('that leave the safe integers are an error', () => {
    const baselines = trackBaselines([0])
    expect(() => baselines.raise(Number.MAX_SAFE_INTEGER, 1)).toThrow(UnusableValue)
  })
})

describe(`over random claims (FC_SEED=${SEED})`, () => {
  const baseline = fc.integer({ min: -5, max: 30 })
  const claim = fc.tuple(baseline, fc.integer({ min: -1, max: 8 }))

  test('they are where the published rule puts them, after every claim', () => {
    fc.assert(
      fc.property(
        fc.array(baseline, { maxLength: 12 }),
        fc.array(claim, { maxLength: 12 }),
        (initial, claims) => {
          const baselines = trackBaselines(initial)
          for (const [done, [from, claimed]] of claims.entries()) {
            baselines.raise(from, claimed)
            expect(initial.map((_, index) => baselines.at(index))).toEqual(
              published(initial, ...claims.slice(0, done + 1)),
            )
          }
        },
      ),
    )
  })

  test('they are where it puts them among hundreds', () => {
    const many = { minLength: 200, maxLength: 400 }
    const far = fc.integer({ min: 0, max: 1_000_000 })
    fc.assert(
      fc.property(
        fc.array(far, many),
        fc.array(fc.tuple(far, fc.integer({ min: 1, max: 9_000 })), many),
        (initial, claims) => {
          expect(after(initial, ...claims)).toEqual(published(initial, ...claims))
        },
      ),
      { numRuns: 30 },
    )
  })

  test('they keep their order', () => {
    fc.assert(
      fc.property(fc.array(baseline), fc.array(claim), (initial, claims) => {
        const ascending = initial.toSorted((a, b) => a - b)
        const moved = after(ascending, ...claims)
        expect(moved).toEqual(moved.toSorted((a, b) => a - b))
      }),
    )
  })
})
