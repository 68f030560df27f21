import { expect, test } from 'vitest'
import { explain } from '../../lambda/rules/explain.ts'
import { planUser } from '../../lambda/rules/plan.ts'
import { free, LAST_MONTH, LAST_YEAR, linkTo, paid, SETTINGS, usd, userWith } from './examples.ts'
import { fc, SEED } from './fuzz.ts'
import { ledgers } from './ledgers.ts'

const NO_CIRCUMSTANCES = { named: false, excluded: false, takenLinks: new Set<string>() }

test(`an explanation gives the plan's own figures, and they add up (FC_SEED=${SEED})`, () => {
  fc.assert(
    fc.property(ledgers, ({ user, rows, circumstances, settings }) => {
      const plan = planUser(user, rows, settings, circumstances)
      const steps = explain({ user, rows, circumstances }, settings)
      expect(steps.length > 0).toBe(plan.change !== null)
      if (plan.change === null) return

      expect(steps.map(({ id, expiredMicrodollars }) => [id, expiredMicrodollars])).toEqual(
        plan.credits.map(({ id, expiredMicrodollars }) => [id, expiredMicrodollars]),
      )
      let balance = user.acquiredMicrodollars - user.usedMicrodollars
      for (const step of steps) {
        const raised = step.raisedBy.reduce((sum, { byMicrodollars }) => sum + byMicrodollars, 0)
        expect(raised).toBe(step.raisedByMicrodollars)
        expect(step.startBaselineMicrodollars + raised).toBe(step.baselineMicrodollars)
        expect(step.claimedMicrodollars + step.expiredMicrodollars).toBe(step.amountMicrodollars)
        expect(step.balanceBeforeMicrodollars).toBe(balance)
        balance -= step.expiredMicrodollars
        expect(step.balanceAfterMicrodollars).toBe(balance)
      }
      expect(balance + (plan.change.correction?.amountMicrodollars ?? 0)).toBe(
        plan.change.acquiredMicrodollars - user.usedMicrodollars,
      )
    }),
  )
})

test('a grant tells which grants claimed before it: one closed long ago, and one in the same pass', () => {
  const old = paid('old', 10, { expiryDate: LAST_YEAR, expirationBaselineMicrodollars: 0 })
  const rows = [
    old,
    linkTo(old, 0),
    free('first', 10, { createdAt: LAST_YEAR }),
    free('second', 10, { createdAt: LAST_MONTH }),
  ]
  const user = userWith(14, 30)

  const steps = explain({ user, rows, circumstances: NO_CIRCUMSTANCES }, SETTINGS)

  expect(steps).toMatchObject([
    {
      id: 'first',
      startBaselineMicrodollars: 0,
      baselineFrom: 'original_baseline',
      raisedBy: [{ id: 'old', when: 'before', byMicrodollars: usd(10) }],
      baselineMicrodollars: usd(10),
      claimedMicrodollars: usd(4),
      expiredMicrodollars: usd(6),
      balanceBeforeMicrodollars: usd(16),
      balanceAfterMicrodollars: usd(10),
    },
    {
      id: 'second',
      raisedBy: [
        { id: 'old', when: 'before', byMicrodollars: usd(10) },
        { id: 'first', when: 'same_pass', byMicrodollars: usd(4) },
      ],
      baselineMicrodollars: usd(14),
      claimedMicrodollars: 0,
      expiredMicrodollars: usd(10),
      balanceAfterMicrodollars: 0,
    },
  ])
})
