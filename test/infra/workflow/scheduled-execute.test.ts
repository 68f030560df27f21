import { describe, expect, test } from 'vitest'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { EVERYTHING } from '../synthesized.ts'
import { cardWith, DEFINITION_WITHOUT_EXECUTES, type Ended, execute } from './workflow-run.ts'

/** A scheduled execute makes a dry run, compares it with the last executed plan, and executes it or asks. */

const KEY = 'credit-expiry-staging-execute-2026-12-01T07:00:00Z'
const INPUT = { scheduledExecute: { requestKey: KEY } }
const PLAN = '2026-12-01T07-00-03-123Z-dry-run-a1b2'
const APPROVAL = { text: 'execute exactly this plan', payload: { execute: true, plan: PLAN } }
const LIMITS = { users: 300, grants: 5000, usd: 20_000, correctionsUsd: 100 }

/** What the dry run's card says beside what every card says. */
type Card = Partial<Omit<ExitCard, 'totals' | 'sinceExecuted'>> & {
  readonly totals?: Partial<ExitCard['totals']>
  readonly sinceExecuted?: object | null
}

const LITTLE_NEW = {
  runId: 'r',
  users: 5,
  grants: 7,
  expired: '$500.50',
  expiredMicrodollars: 500_500_000,
  skipped: {},
}
const { skipped: _skipped, ...WITHOUT_SKIPPED } = LITTLE_NEW

/** Runs a scheduled execute whose dry run gives this card; an execute gives a complete one. */
async function schedule({ totals, ...card }: Card): Promise<Ended> {
  const plain = cardWith({})
  return execute(INPUT, async (payload) =>
    (payload as { execute?: boolean }).execute === true
      ? plain
      : {
          ...plain,
          mode: 'dry-run',
          runId: PLAN,
          next: APPROVAL,
          ...card,
          totals: { ...plain.totals, ...totals },
        },
  )
}

test('within: the plan is executed with the limits of the schedule, by the job function', async () => {
  const ended = await schedule({ sinceExecuted: LITTLE_NEW })
  expect(ended.failure).toBeNull()
  expect(ended.invoked).toEqual(['preview', 'job'])
  expect(ended.payloads).toEqual([
    { requestKey: `${KEY}-plan`, reason: 'plan of a scheduled execute' },
    { execute: true, plan: PLAN, limits: LIMITS, reason: 'scheduled execute' },
  ])
  expect(ended.output).toMatchObject({ mode: 'execute', status: 'complete' })
  expect(ended.notices.map(({ Subject }) => Subject)).toEqual(['Credit expiry: execute complete'])
})

test('a dry run of several turns is compared when it is complete', async () => {
  const complete = {
    ...cardWith({ mode: 'dry-run', runId: PLAN, next: APPROVAL }),
    sinceExecuted: LITTLE_NEW,
  }
  const incomplete = {
    ...complete,
    status: 'incomplete',
    next: { text: 'resume', payload: { resume: PLAN } },
  }
  const answers = [incomplete, { ...incomplete, status: 'busy' }, complete, cardWith({})]
  const ended = await execute(INPUT, async () => answers.shift())
  expect(ended.payloads.slice(1)).toEqual([
    { resume: PLAN },
    { resume: PLAN },
    { execute: true, plan: PLAN, limits: LIMITS, reason: 'scheduled execute' },
  ])
  expect(ended.invoked).toEqual(['preview', 'preview', 'preview', 'job'])
})

describe('needs approval, with nothing written', () => {
  const flags = (given: Record<string, number>): Card => ({
    sinceExecuted: LITTLE_NEW,
    totals: { flags: given },
  })
  const beyond: [string, Card, string][] = [
    ['one user too many is new', { sinceExecuted: { ...LITTLE_NEW, users: 6 } }, '"users":6'],
    [
      'one microdollar too many is new',
      { sinceExecuted: { ...LITTLE_NEW, expiredMicrodollars: 500_500_001 } },
      '"expiredMicrodollars":500500001',
    ],
    ['no plan has been executed yet', { sinceExecuted: null }, 'No executed plan to compare it with'],
    ['the card does not compare', {}, 'No executed plan to compare it with'],
    ['the comparison is incomplete', { sinceExecuted: { users: 0 } }, 'No executed plan to compare it with'],
    [
      'the comparison does not count who is skipped',
      { sinceExecuted: WITHOUT_SKIPPED },
      'No executed plan to compare it with',
    ],
    ['a flag stops it', flags({ auto_top_up_risk: 1 }), '"auto_top_up_risk":1'],
    [
      'more users need a review than the executed plan showed',
      { sinceExecuted: { ...LITTLE_NEW, skipped: { needs_review: 1 } } },
      '"needs_review":1',
    ],
    ['too many users', { sinceExecuted: LITTLE_NEW, totals: { usersMatched: 301 } }, '301 matched'],
    ['too many grants', { sinceExecuted: LITTLE_NEW, totals: { grantsTargeted: 5001 } }, '5001'],
    [
      'grants of too much face value, however little of it expires',
      {
        sinceExecuted: LITTLE_NEW,
        totals: { matchedFaceValueMicrodollars: 20_000_000_001, expiredMicrodollars: 1_000_000 },
      },
      '20000 USD of face value',
    ],
    [
      'too many corrections',
      { sinceExecuted: LITTLE_NEW, totals: { correctedMicrodollars: 100_000_001 } },
      '100000001',
    ],
  ]

  test.for(beyond)('%s', async ([, card, told]) => {
    const ended = await schedule(card)
    expect(ended.invoked).toEqual(['preview'])
    expect(ended.failure).toBeNull()
    expect(ended.output).toMatchObject({ runId: PLAN, next: APPROVAL })
    expect(ended.notices.map(({ Subject }) => Subject)).toEqual(['Credit expiry: needs approval'])
    const message = ended.notices[0]?.Message ?? ''
    for (const part of [
      PLAN,
      told,
      'at most 5 new users and 500.5 USD new',
      JSON.stringify(APPROVAL.payload),
    ])
      expect(message).toContain(part)
  })

  test('flags that the configuration does not list, and reviews known already, do not stop it', async () => {
    const ended = await schedule({
      sinceExecuted: { ...LITTLE_NEW, skipped: { needs_review: 0, too_recent: 3 } },
      totals: { flags: { due_paid_credit: 2, auto_top_up_risk: 0 }, outcomes: { needs_review: 4 } },
    })
    expect(ended.invoked).toEqual(['preview', 'job'])
  })
})

test('a dry run that failed for some users is no plan: ends as a failure, without an execute', async () => {
  const ended = await schedule({
    status: 'complete_with_errors',
    why: '1 user failed',
    sinceExecuted: LITTLE_NEW,
  })
  expect(ended.invoked).toEqual(['preview'])
  expect(ended.failure).toEqual({ error: 'complete_with_errors', cause: '1 user failed' })
})

test('held: the plan is made, the execute answers held, and one notice says so', async () => {
  const ended = await execute(INPUT, async (payload) =>
    'plan' in (payload as object)
      ? cardWith({ status: 'held', why: 'an incident', next: null })
      : { ...cardWith({ mode: 'dry-run', runId: PLAN }), sinceExecuted: LITTLE_NEW },
  )
  expect(ended.invoked).toEqual(['preview', 'job'])
  expect(ended.failure).toBeNull()
  expect(ended.notices.map(({ Subject }) => Subject)).toEqual(['Credit expiry: held'])
})

test('where no execute is scheduled, the workflow knows no such input', async () => {
  const ended = await execute(INPUT, async () => cardWith({}), DEFINITION_WITHOUT_EXECUTES)
  expect(ended.payloads).toEqual([expect.objectContaining(INPUT)])
  expect(ended.invoked).toEqual(['preview'])
})

test('the limits tested here are the configured ones', () => {
  expect(EVERYTHING).toMatchObject({
    autoExecuteNewUsers: '5',
    autoExecuteNewUsd: '500.5',
    executeLimitUsers: '300',
  })
})
