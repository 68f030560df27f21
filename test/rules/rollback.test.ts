import { describe, expect, test } from 'vitest'
import { UnusableValue } from '../../lambda/rules/amounts.ts'
import { planUser } from '../../lambda/rules/plan.ts'
import {
  type Changed,
  type InsertedRow,
  isRolledBack,
  type LedgerNow,
  type LoggedChange,
  planRollback,
} from '../../lambda/rules/rollback.ts'
import type { ChangePlan, LedgerUser, Transaction } from '../../lambda/rules/types.ts'
import {
  dated,
  free,
  INSTANT,
  LAST_MONTH,
  linkTo,
  NEXT_MONTH,
  paid,
  planOf,
  usd,
  userWith,
} from './examples.ts'
import { fc, SEED } from './fuzz.ts'
import { ledgers } from './ledgers.ts'
import { applied } from './outcome.ts'

const CLOSINGS = { count: 2, sha256: 'aa' }
const AS_INSERTED: InsertedRow = { differing: [], references: [] }

/** What the mutation log of a run holds about the user of a plan. */
function loggedOf({ user, change }: ChangePlan): LoggedChange {
  const { closings, correction, grants } = change
  return {
    userId: user.id,
    nextCreditExpirationAt: { before: user.nextCreditExpirationAt, after: change.nextCreditExpirationAt },
    closingsBefore: CLOSINGS,
    grants: grants.map(({ grant, targeted, expiryDate, expirationBaselineMicrodollars }) => ({
      id: grant.id,
      targeted,
      before: {
        expiryDate: grant.expiryDate,
        expirationBaselineMicrodollars: grant.expirationBaselineMicrodollars,
      },
      after: { expiryDate, expirationBaselineMicrodollars },
    })),
    inserted: [
      ...closings.map(({ grant, amountMicrodollars }) => ({
        id: `closing of ${grant.id}`,
        amountMicrodollars,
        closes: grant.id,
        row: {},
      })),
      ...(correction ? [{ id: 'correction', ...correction, closes: null, row: {} }] : []),
    ],
  }
}

function changed(plan: ReturnType<typeof planOf>): ChangePlan {
  if (!plan.change) throw new Error(`The plan is ${plan.outcome}.`)
  return plan
}

/** A run over a user with free, due and later credit, and the ledger right after it. */
function run(user: LedgerUser, rows: readonly Transaction[]): { logged: LoggedChange; now: LedgerNow } {
  const plan = changed(planOf(user, rows))
  const logged = loggedOf(plan)
  const after = applied(plan, rows)
  const inserted = new Map(logged.inserted.map(({ id }) => [id, AS_INSERTED]))
  return { logged, now: { ...after, inserted, closings: CLOSINGS } }
}

const ada = userWith(6, 36, { nextCreditExpirationAt: LAST_MONTH })
const rows = [free('A', 10), paid('D', 6, dated(LAST_MONTH)), paid('L', 20, dated(NEXT_MONTH))]
const { logged, now } = run(ada, rows)
const outcomeOf = (fields: Partial<LedgerNow>): string => planRollback(logged, { ...now, ...fields }).outcome
const changedOf = (fields: Partial<LedgerNow>): readonly Changed[] => {
  const plan = planRollback(logged, { ...now, ...fields })
  return plan.outcome === 'changed_since' ? plan.changed : []
}
const replaced = (id: string, fields: Partial<Transaction>): Transaction[] =>
  now.rows.map((row) => (row.id === id ? { ...row, ...fields } : row))

describe('an undisturbed user', () => {
  test('gets total, date and next expiration back', () => {
    expect(planRollback(logged, now)).toEqual({
      outcome: 'rolled_back',
      rollback: {
        user: now.user,
        logged,
        acquiredMicrodollars: ada.acquiredMicrodollars,
        nextCreditExpirationAt: LAST_MONTH,
        closingsNow: 2,
      },
    })
  })

  test(`so does every one that this job can change (FC_SEED=${SEED})`, () => {
    fc.assert(
      fc.property(ledgers, (ledger) => {
        const plan = planUser(ledger.user, ledger.rows, ledger.settings, ledger.circumstances)
        fc.pre(plan.change !== null)
        if (!plan.change) return
        const change = loggedOf(plan)
        const after = applied(plan, ledger.rows)
        const inserted = new Map(change.inserted.map(({ id }) => [id, AS_INSERTED]))
        expect(planRollback(change, { ...after, inserted, closings: CLOSINGS })).toMatchObject({
          outcome: 'rolled_back',
          rollback: {
            acquiredMicrodollars: ledger.user.acquiredMicrodollars,
            nextCreditExpirationAt: ledger.user.nextCreditExpirationAt,
          },
        })
        expect(planRollback(change, { ...ledger, inserted: new Map(), closings: CLOSINGS }).outcome).toBe(
          'already_rolled_back',
        )
      }),
    )
  })
})

describe('what happened since and does no harm', () => {
  test('credit that was bought or used moves the total relative to its value now', () => {
    const user = { ...ada, acquiredMicrodollars: usd(120), usedMicrodollars: usd(50) }
    const plan = planRollback(logged, { ...now, user: { ...user, nextCreditExpirationAt: NEXT_MONTH } })
    const inRun = logged.inserted.reduce((sum, row) => sum + row.amountMicrodollars, 0)
    expect(plan).toMatchObject({ rollback: { acquiredMicrodollars: usd(120) - inRun } })
  })

  test('where the next expiration is another one now, it is the earliest open date again', () => {
    const user = { ...ada, nextCreditExpirationAt: '2026-12-01T00:00:00.000000Z' }
    const bought = paid('B', 1, dated('2026-12-01T00:00:00.000000Z'))
    const more = [bought, paid('O', 1, { ...dated('2020-01-01T00:00:00.000000Z'), organizationId: 'o' })]
    expect(planRollback(logged, { ...now, user, rows: [...now.rows, ...more] })).toMatchObject({
      rollback: { nextCreditExpirationAt: LAST_MONTH },
    })
    const closed = linkTo(free('D', 6), 6, { id: 'closed by production' })
    expect(planRollback(logged, { ...now, user, rows: [...now.rows, bought, closed] })).toMatchObject({
      rollback: { nextCreditExpirationAt: '2026-12-01T00:00:00.000000Z' },
    })
  })

  test('a row of no interest: neither a closing row nor a correction', () => {
    expect(outcomeOf({ rows: [...now.rows, paid('B', 1), free('C', 2)] })).toBe('rolled_back')
  })
})

describe('changed_since names table, row, column, expected and found', () => {
  const table = 'credit_transactions'

  test('an inserted row that is gone', () => {
    const inserted = new Map([...now.inserted].slice(1))
    const [gone = ''] = now.inserted.keys()
    expect(changedOf({ inserted })).toEqual([{ table, row: gone, column: 'id', expected: gone, found: null }])
  })

  test('an inserted row that was changed, and one that another row refers to', () => {
    const inserted = new Map(now.inserted)
    inserted.set('closing of A', {
      differing: [{ column: 'description', expected: 'Expired: Promo', found: null }],
      references: [{ table: 'kilo_pass_audit_log', row: '7', column: 'related_credit_transaction_id' }],
    })
    expect(changedOf({ inserted })).toEqual([
      { table, row: 'closing of A', column: 'description', expected: 'Expired: Promo', found: null },
      {
        table: 'kilo_pass_audit_log',
        row: '7',
        column: 'related_credit_transaction_id',
        expected: null,
        found: 'closing of A',
      },
    ])
  })

  test('a grant with another date or baseline, or gone', () => {
    expect(changedOf({ rows: replaced('A', { expiryDate: NEXT_MONTH }) })).toEqual([
      { table, row: 'A', column: 'expiry_date', expected: INSTANT, found: NEXT_MONTH },
    ])
    expect(changedOf({ rows: replaced('L', { expirationBaselineMicrodollars: usd(7) }) })).toEqual([
      {
        table,
        row: 'L',
        column: 'expiration_baseline_microdollars_used',
        expected: usd(6),
        found: usd(7),
      },
    ])
    expect(changedOf({ rows: now.rows.filter(({ id }) => id !== 'A') })).toEqual([
      { table, row: 'A', column: 'id', expected: 'A', found: null },
    ])
  })

  test('more closing rows or corrections than before the run, or others', () => {
    const closings = { table, row: 'ada', column: 'closings' }
    expect(changedOf({ closings: { count: 3, sha256: 'bb' } })).toEqual([
      { ...closings, expected: 2, found: 3 },
    ])
    expect(changedOf({ closings: { count: 2, sha256: 'bb' } })).toEqual([
      { ...closings, expected: 'aa', found: 'bb' },
    ])
  })

  test('everything at once', () => {
    const fields = { inserted: new Map(), closings: { count: 0, sha256: '' } }
    expect(changedOf(fields)).toHaveLength(logged.inserted.length + 1)
  })
})

describe('absent rows', () => {
  const absent = { inserted: new Map<string, InsertedRow>() }
  const restored = (id: string): Partial<Transaction> => rows.find((row) => row.id === id) ?? {}

  test('mean rolled back, where the targeted grants have their dates back', () => {
    expect(outcomeOf({ ...absent, rows })).toBe('already_rolled_back')
  })

  test('also where baselines moved since: others change them', () => {
    const moved = rows.map((row) => ({ ...row, expirationBaselineMicrodollars: usd(9) }))
    expect(outcomeOf({ ...absent, rows: moved })).toBe('already_rolled_back')
  })

  test('also where a grant was dated again by a later run', () => {
    expect(outcomeOf({ ...absent, rows: replaced('A', { expiryDate: '2026-12-24T00:00:00.000000Z' }) })).toBe(
      'already_rolled_back',
    )
  })

  test('mean changed since, where a targeted grant still has the date of the run', () => {
    expect(outcomeOf(absent)).toBe('changed_since')
    expect(changedOf(absent).map(({ row }) => row)).toEqual(logged.inserted.map(({ id }) => id))
    expect(outcomeOf({ ...absent, rows: replaced('A', restored('A')) })).toBe('already_rolled_back')
  })

  test('a grant that had the date of the run before proves nothing', () => {
    const dup = run(userWith(0, 10), [free('A', 10, dated(INSTANT))])
    expect(isRolledBack(dup.logged, dup.now.rows)).toBe(true)
  })

  test('some of them are a change, never a rollback', () => {
    const [first] = now.inserted
    expect(outcomeOf({ inserted: new Map(first ? [first] : []), rows })).toBe('changed_since')
  })
})

test('a user without a row is gone', () => {
  expect(outcomeOf({ user: null })).toBe('gone')
})

test('a total that leaves the safe integers is an error', () => {
  const user = { ...ada, acquiredMicrodollars: Number.MAX_SAFE_INTEGER }
  expect(() => planRollback(logged, { ...now, user })).toThrow(UnusableValue)
})
