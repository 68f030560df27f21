import { describe, expect, test } from 'vitest'
import { expiringSet } from '../../lambda/rules/expiration.ts'
import { sortGrants } from '../../lambda/rules/grants.ts'
import type { Plan, Transaction } from '../../lambda/rules/types.ts'
import { fc, SEED } from './fuzz.ts'
import {
  AFTERWARDS,
  histories,
  lived,
  productionPass,
  redated,
  settingsOn,
  runOfThisJob,
  type State,
} from './histories.ts'

/** The baselines from which the targeted grants of a state may claim. */
function baselines(rows: readonly Transaction[]): Record<string, number> {
  const grants = sortGrants(rows, settingsOn(AFTERWARDS), new Set())
  return Object.fromEntries(
    expiringSet(grants, AFTERWARDS)
      .filter((member) => member.targeted)
      .map((member) => [member.grant.id, member.baselineMicrodollars]),
  )
}

/** What was taken back from each grant, in microdollars. */
function closings(plan: Plan): Record<string, number> {
  return Object.fromEntries(
    (plan.change?.closings ?? []).map((row) => [row.grant.id, row.amountMicrodollars]),
  )
}

/** What was taken back from each grant by all passes and runs so far. */
function closingsOf({ rows }: State): Record<string, number> {
  return Object.fromEntries(
    rows.flatMap((row) =>
      row.originalTransactionId === null ? [] : [[row.originalTransactionId, row.amountMicrodollars]],
    ),
  )
}

describe.each([
  ['that never overdraw', false],
  ['with overdrafts', true],
])(`over random histories %s (FC_SEED=${SEED})`, (_, overdraws) => {
  test('an undated baseline, brought up to date, is the one that production keeps for a dated grant', () => {
    fc.assert(
      fc.property(histories, (events) => {
        const [undated, dated] = [
          lived(events, 'undated', overdraws),
          lived(events, 'dated from the start', overdraws),
        ]
        expect(baselines(undated.rows)).toEqual(baselines(dated.rows))
      }),
    )
  })

  test('so the job takes from each grant what it would have taken if it had been dated from the start', () => {
    fc.assert(
      fc.property(histories, (events) => {
        const [undated, dated] = [
          lived(events, 'undated', overdraws),
          lived(events, 'dated from the start', overdraws),
        ]
        expect(closings(runOfThisJob(undated, AFTERWARDS))).toEqual(closings(runOfThisJob(dated, AFTERWARDS)))
      }),
    )
  })

  test('and that is what the production pass takes itself on the day to which the grants are dated', () => {
    fc.assert(
      fc.property(histories, (events) => {
        const plan = runOfThisJob(lived(events, 'undated', overdraws), AFTERWARDS)
        fc.pre(plan.change !== null)
        const before = lived(events, 'dated from the start', overdraws)
        const after = productionPass(redated(before, AFTERWARDS), AFTERWARDS)
        expect({ ...closingsOf(before), ...closings(plan) }).toEqual(closingsOf(after))
      }),
    )
  })

  test('runs in between leave a ledger that adds up: what was acquired is the sum of the rows', () => {
    fc.assert(
      fc.property(histories, (events) => {
        const { user, rows } = lived(events, 'undated', overdraws)
        expect(rows.reduce((sum, row) => sum + row.amountMicrodollars, 0)).toBe(user.acquiredMicrodollars)
      }),
    )
  })
})

test('a user who never overdrew is never corrected: expiry takes no credit that usage needs', () => {
  fc.assert(
    fc.property(histories, (events) => {
      const state = lived(events, 'undated', false)
      expect(state.rows.some((row) => row.creditCategory === 'accounting_adjustment')).toBe(false)
      expect(runOfThisJob(state, AFTERWARDS).change?.correction ?? null).toBeNull()
    }),
  )
})

test('the histories are varied: in many of them closed windows raise baselines, and grants expire', () => {
  const states = fc
    .sample(histories, { seed: SEED, numRuns: 1_000 })
    .map((events) => lived(events, 'undated', false))
  const raised = states.filter(({ rows }) => {
    const original = new Map(rows.map((row) => [row.id, row.originalBaselineMicrodollars]))
    return Object.entries(baselines(rows)).some(([id, baseline]) => baseline !== original.get(id))
  })
  const expiring = states.filter((state) => runOfThisJob(state, AFTERWARDS).outcome === 'expired')
  expect(raised.length).toBeGreaterThan(150)
  expect(expiring.length).toBeGreaterThan(500)
})
