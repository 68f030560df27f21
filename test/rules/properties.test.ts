import { describe, expect, test } from 'vitest'
import { expiringSet } from '../../lambda/rules/expiration.ts'
import { sortGrants } from '../../lambda/rules/grants.ts'
import { planUser } from '../../lambda/rules/plan.ts'
import type { ChangePlan, Plan } from '../../lambda/rules/types.ts'
import { type Cover, greatestCover, greatestMatching } from './cover.ts'
import { INSTANT } from './examples.ts'
import { fc, SEED } from './fuzz.ts'
import { type Ledger, ledgers } from './ledgers.ts'
import { oracle } from './oracle.ts'
import { applied, comparable, inOraclesWords } from './outcome.ts'

const planOf = ({ user, rows, settings, circumstances }: Ledger): Plan =>
  planUser(user, rows, settings, circumstances)

/** Checks a property of every planned change; a ledger whose user is skipped doesn't count. */
function forEveryChange(check: (plan: ChangePlan, ledger: Ledger) => void): void {
  fc.assert(
    fc.property(ledgers, (ledger) => {
      const plan = planOf(ledger)
      fc.pre(plan.change !== null)
      if (plan.change) check(plan, ledger)
    }),
  )
}

describe(`over random ledgers (FC_SEED=${SEED})`, () => {
  test('the plan is what the specification says, in everything', () => {
    fc.assert(
      fc.property(ledgers, (ledger) => {
        expect(inOraclesWords(planOf(ledger))).toEqual(
          comparable(oracle(ledger.user, ledger.rows, ledger.settings, ledger.circumstances)),
        )
      }),
      { numRuns: 3_000 },
    )
  })

  test('the plan is the same in whatever order the rows come', () => {
    const withOrder = ledgers.chain((ledger) =>
      fc.shuffledSubarray(ledger.rows, { minLength: ledger.rows.length }).map((rows) => ({ ledger, rows })),
    )
    fc.assert(
      fc.property(withOrder, ({ ledger, rows }) => {
        expect(planOf({ ...ledger, rows })).toEqual(planOf(ledger))
      }),
    )
  })

  test('what is claimed in all is the greatest usage that the due credits can cover', () => {
    forEveryChange((plan, { user, rows, settings, circumstances }) => {
      const due = new Set(plan.change.closings.map((row) => row.grant.id))
      const credits = expiringSet(sortGrants(rows, settings, circumstances.takenLinks), INSTANT)
        .filter((member) => due.has(member.grant.id))
        .map((member) => ({
          baseline: BigInt(member.baselineMicrodollars),
          amount: BigInt(member.grant.amountMicrodollars),
        }))
      const claims = plan.change.closings.map((row) => row.grant.amountMicrodollars + row.amountMicrodollars)
      expect(BigInt(claims.reduce((all, claim) => all + claim, 0))).toBe(
        greatestCover(BigInt(user.usedMicrodollars), credits),
      )
    })
  })

  test('that greatest usage is a maximum matching of usage and credit, unit by unit', () => {
    const credit: fc.Arbitrary<Cover> = fc.record({ baseline: fc.bigInt(0n, 12n), amount: fc.bigInt(0n, 5n) })
    fc.assert(
      fc.property(fc.nat(15), fc.array(credit, { maxLength: 6 }), (used, credits) => {
        expect(greatestCover(BigInt(used), credits)).toBe(greatestMatching(used, credits))
      }),
    )
  })

  test('nothing expires below zero or beyond the grant', () => {
    forEveryChange((plan) => {
      for (const { grant, amountMicrodollars } of plan.change.closings) {
        expect(Object.is(amountMicrodollars, -0)).toBe(false)
        expect(amountMicrodollars).toBeLessThanOrEqual(0)
        expect(-amountMicrodollars).toBeLessThanOrEqual(grant.amountMicrodollars)
      }
    })
  })

  test('no changed user ends below zero, and a correction ends at exactly zero', () => {
    forEveryChange(({ user, change }) => {
      const balance = change.acquiredMicrodollars - user.usedMicrodollars
      expect(change.correction === null ? balance >= 0 : balance === 0).toBe(true)
    })
  })

  test('what is acquired moves by exactly the rows that are inserted', () => {
    forEveryChange((plan, ledger) => {
      const { rows } = applied(plan, ledger.rows)
      const inserted = rows.slice(ledger.rows.length).reduce((sum, row) => sum + row.amountMicrodollars, 0)
      expect(plan.change.acquiredMicrodollars).toBe(ledger.user.acquiredMicrodollars + inserted)
    })
  })

  test('every targeted grant and no other free one is closed, once', () => {
    forEveryChange((plan) => {
      const closed = plan.change.closings.map((row) => row.grant.id)
      expect(new Set(closed).size).toBe(closed.length)
      expect(
        plan.change.grants.filter((grant) => grant.targeted).every(({ grant }) => closed.includes(grant.id)),
      ).toBe(true)
      expect(plan.credits.filter((credit) => credit.targeted)).toHaveLength(plan.grantsTargeted)
    })
  })

  test('baselines only rise, and no date but that of a targeted grant changes', () => {
    forEveryChange((plan) => {
      for (const { grant, targeted, expiryDate, expirationBaselineMicrodollars } of plan.change.grants) {
        const before =
          grant.expirationBaselineMicrodollars ?? (targeted ? grant.originalBaselineMicrodollars : 0) ?? 0
        expect(expirationBaselineMicrodollars).toBeGreaterThanOrEqual(before)
        expect(expiryDate).toBe(targeted ? INSTANT : grant.expiryDate)
      }
    })
  })

  test.each([
    ['at once', INSTANT],
    ['a year later', '2027-11-22T00:00:00.000000Z'],
  ])('planned again %s, an applied plan plans nothing: not even its correction is targeted', (_, instant) => {
    forEveryChange((plan, ledger) => {
      const after = applied(plan, ledger.rows)
      const closed = new Set(plan.change.closings.map((row) => row.grant.id))
      expect(
        planUser(after.user, after.rows, { ...ledger.settings, instant }, ledger.circumstances),
      ).toMatchObject({
        outcome: plan.excluded.some(({ id }) => !closed.has(id)) ? 'excluded' : 'no_targeted_grant',
        grantsTargeted: 0,
        credits: [],
        change: null,
      })
    })
  })

  test('a plan is plain data: printed and read back it is the same', () => {
    forEveryChange((plan) => {
      expect(JSON.parse(JSON.stringify(plan))).toEqual(plan)
    })
  })

  test('they reach every outcome and every flag', () => {
    const plans = fc.sample(ledgers, { seed: SEED, numRuns: 5_000 }).map(planOf)
    expect([...new Set(plans.map((plan) => plan.outcome))].toSorted()).toEqual([
      'excluded',
      'expired',
      'needs_review',
      'no_targeted_grant',
      'nothing_to_expire',
      'too_recent',
    ])
    expect([...new Set(plans.flatMap((plan) => plan.flags))].toSorted()).toEqual([
      'auto_top_up_risk',
      'due_paid_credit',
      'link_taken',
      'negative_dated',
      'overdrawn_before',
      'unlinked_deduction',
    ])
  })
})
