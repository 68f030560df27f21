import { CORRECTION_CATEGORY, CORRECTION_DESCRIPTION } from '../../lambda/rules/grants.ts'
import type { FlagDetail, LedgerUser, Plan, Transaction } from '../../lambda/rules/types.ts'
import type { Expected } from './oracle.ts'

const byId = <Row extends { id: string }>(rows: Row[]): Row[] =>
  rows.toSorted((a, b) => (a.id < b.id ? -1 : 1))

/** The same with flags in one order: they are a set. */
export function comparable(expected: Expected): Expected {
  const nameOf = (detail: FlagDetail): string =>
    [detail.flag, 'grantId' in detail ? detail.grantId : '', 'id' in detail ? detail.id : ''].join(' ')
  return { ...expected, flags: expected.flags.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1)) }
}

/** A plan in the oracle's words, to be compared with what it says. */
export function inOraclesWords(plan: Plan): Expected {
  const { user, change } = plan
  return comparable({
    outcome: plan.outcome,
    flags: [...plan.details],
    review: byId((plan.change ? [] : plan.review).map(({ id, why }) => ({ id, why }))),
    excluded: byId(plan.excluded.map(({ id, why }) => ({ id, why }))),
    targeted: plan.credits
      .filter((credit) => credit.targeted)
      .map((credit) => credit.id)
      .toSorted(),
    expired: BigInt(change ? plan.expiredMicrodollars : 0),
    duePaid: BigInt(change ? plan.duePaidMicrodollars : 0),
    closings: byId(
      (change?.closings ?? []).map((row) => ({
        id: row.grant.id,
        amount: BigInt(row.amountMicrodollars),
        description: row.description,
        createdAt: row.createdAt,
        originalBaseline: BigInt(row.originalBaselineMicrodollars),
      })),
    ),
    written: byId(
      (change?.grants ?? []).map(({ grant, targeted, expiryDate, expirationBaselineMicrodollars }) => ({
        id: grant.id,
        targeted,
        date: expiryDate,
        baseline: BigInt(expirationBaselineMicrodollars),
      })),
    ),
    correction: BigInt(change?.correction?.amountMicrodollars ?? 0),
    acquired: BigInt(change?.acquiredMicrodollars ?? user.acquiredMicrodollars),
    nextExpiration: change ? change.nextCreditExpirationAt : user.nextCreditExpirationAt,
  })
}

/** The ledger after a plan was applied: what the database would hold. The ids of new rows are made up. */
export function applied(plan: Plan, rows: readonly Transaction[]): { user: LedgerUser; rows: Transaction[] } {
  const { user, change } = plan
  if (!change) return { user, rows: [...rows] }
  const written = new Map(change.grants.map(({ grant, ...fields }) => [grant.id, fields]))
  const inserted: Transaction = {
    id: '',
    amountMicrodollars: 0,
    expirationBaselineMicrodollars: null,
    originalBaselineMicrodollars: user.usedMicrodollars,
    isFree: true,
    description: CORRECTION_DESCRIPTION,
    creditCategory: CORRECTION_CATEGORY,
    originalTransactionId: null,
    expiryDate: null,
    createdAt: '',
    organizationId: null,
  }
  const closings = change.closings.map(({ grant, ...fields }) => ({
    ...inserted,
    ...fields,
    id: `closing of ${grant.id}`,
    isFree: grant.isFree,
    creditCategory: 'credits_expired',
    originalTransactionId: grant.id,
  }))
  const corrections = change.correction ? [{ ...inserted, ...change.correction, id: 'correction' }] : []
  return {
    user: {
      ...user,
      acquiredMicrodollars: change.acquiredMicrodollars,
      nextCreditExpirationAt: change.nextCreditExpirationAt,
    },
    rows: [
      ...rows.map((row) => ({ ...row, ...dateAndBaseline(written.get(row.id)) })),
      ...closings,
      ...corrections,
    ],
  }
}

function dateAndBaseline(
  fields: Pick<Transaction, 'expiryDate' | 'expirationBaselineMicrodollars'> | undefined,
): Partial<Transaction> {
  return fields
    ? { expiryDate: fields.expiryDate, expirationBaselineMicrodollars: fields.expirationBaselineMicrodollars }
    : {}
}
