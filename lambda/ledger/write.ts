import type { ChangePlan, GrantChange, Transaction as LedgerRow } from '../rules/types.ts'
import { arraysOf } from './arrays.ts'
import type { Written } from './compare.ts'
import type { LedgerTransaction } from './connection/connect.ts'
import { forTriggers } from './rows.ts'

/** A planned user with the ids of the rows to insert: `closingIds` in the order of the plan's closings. */
export type PlannedUser = {
  readonly plan: ChangePlan
  readonly closingIds: readonly string[]
  readonly correctionId: string | null
}

/**
 * Writes users, grants and new rows in one statement in which every write depends on the one before it: no
 * grant of a user whose guard failed is touched, and no closing row is inserted beside a grant that is not as
 * it was read. A due grant whose date and baseline stay is written with its own values: that guards it too.
 * Returns the users whose guard held; compareWritten checks that all their rows were written.
 */
export async function writeExpirations(
  tx: LedgerTransaction,
  planned: readonly PlannedUser[],
): Promise<ReadonlySet<string>> {
  const u = arraysOf(planned.map(userParameter), USER_COLUMNS)
  const g = arraysOf(planned.flatMap(grantParameters), GRANT_COLUMNS)
  const k = arraysOf(planned.flatMap(correctionParameter), CORRECTION_COLUMNS)
  // `(…) is true` keeps a condition out of the planner's reach. It cannot know how many users `held` has, and
  // would go through all grants once for each of them; and through all rows of a user, once for each grant of
  // that user.
  const [, rows] = await Promise.all([
    forTriggers(tx),
    tx<{ id: string }[]>`
    -- write expirations
    with held as (
      update kilocode_users u
      set
        total_microdollars_acquired = p.new_acquired,
        next_credit_expiration_at = p.new_next_expiration,
        updated_at = now()
      from unnest(
        ${u.id}::text[], ${u.email}::text[], ${u.used}::bigint[], ${u.acquired}::bigint[],
        ${u.nextExpiration}::timestamptz[], ${u.newAcquired}::bigint[], ${u.newNextExpiration}::timestamptz[]
      ) as p(id, email, used, acquired, next_expiration, new_acquired, new_next_expiration)
      where u.id = p.id
        and u.google_user_email = p.email
        and u.microdollars_used = p.used
        and u.total_microdollars_acquired = p.acquired
        and u.next_credit_expiration_at is not distinct from p.next_expiration
      returning u.id
    ),
    dated as (
      update credit_transactions c
      set
        expiry_date = g.new_expiry_date,
        expiration_baseline_microdollars_used = g.new_baseline
      from unnest(
        ${g.userId}::text[], ${g.used}::bigint[], ${g.id}::uuid[], ${g.amount}::bigint[], ${g.isFree}::boolean[],
        ${g.expiryDate}::timestamptz[], ${g.baseline}::bigint[], ${g.originalBaseline}::bigint[],
        ${g.newExpiryDate}::timestamptz[], ${g.newBaseline}::bigint[],
        ${g.closingId}::uuid[], ${g.closingAmount}::bigint[], ${g.closingDescription}::text[],
        ${g.closingCreatedAt}::timestamptz[]
      ) as g(
        user_id, used, id, amount, is_free, expiry_date, baseline, original_baseline,
        new_expiry_date, new_baseline, closing_id, closing_amount, closing_description, closing_created_at
      )
      where (g.user_id in (select id from held)) is true
        and c.id = g.id
        and (c.kilo_user_id = g.user_id) is true
        and c.organization_id is null
        and c.amount_microdollars = g.amount
        and c.is_free = g.is_free
        and c.expiry_date is not distinct from g.expiry_date
        and c.expiration_baseline_microdollars_used is not distinct from g.baseline
        and c.original_baseline_microdollars_used is not distinct from g.original_baseline
      returning
        g.user_id, g.used, g.id as grant_id, g.is_free,
        g.closing_id, g.closing_amount, g.closing_description, g.closing_created_at
    ),
    inserted as (
      insert into credit_transactions (
        id, kilo_user_id, amount_microdollars, is_free, description, credit_category,
        original_transaction_id, created_at, original_baseline_microdollars_used
      )
      select
        closing_id, user_id, closing_amount, is_free, closing_description, 'credits_expired',
        grant_id, closing_created_at, used
      from dated
      where closing_id is not null
      union all
      select
        k.id, k.user_id, k.amount, true, k.description, 'accounting_adjustment',
        null, k.created_at, k.used
      from unnest(
        ${k.id}::uuid[], ${k.userId}::text[], ${k.amount}::bigint[], ${k.description}::text[],
        ${k.createdAt}::timestamptz[], ${k.used}::bigint[]
      ) as k(id, user_id, amount, description, created_at, used)
      where (k.user_id in (select id from held)) is true
    )
    select id from held
  `,
  ])
  return new Set(rows.map((row) => row.id))
}

const USER_COLUMNS = [
  'id',
  'email',
  'used',
  'acquired',
  'nextExpiration',
  'newAcquired',
  'newNextExpiration',
] as const

function userParameter({ plan: { user, change } }: PlannedUser) {
  return {
    id: user.id,
    email: user.email,
    used: user.usedMicrodollars,
    acquired: user.acquiredMicrodollars,
    nextExpiration: user.nextCreditExpirationAt,
    newAcquired: change.acquiredMicrodollars,
    newNextExpiration: change.nextCreditExpirationAt,
  }
}

const GRANT_COLUMNS = [
  'userId',
  'used',
  'id',
  'amount',
  'isFree',
  'expiryDate',
  'baseline',
  'originalBaseline',
  'newExpiryDate',
  'newBaseline',
  'closingId',
  'closingAmount',
  'closingDescription',
  'closingCreatedAt',
] as const

function grantParameters(planned: PlannedUser) {
  const { user } = planned.plan
  return touchedGrants(planned).map(({ grant, change, closing }) => ({
    userId: user.id,
    used: user.usedMicrodollars,
    id: grant.id,
    amount: grant.amountMicrodollars,
    isFree: grant.isFree,
    expiryDate: grant.expiryDate,
    baseline: grant.expirationBaselineMicrodollars,
    originalBaseline: grant.originalBaselineMicrodollars,
    newExpiryDate: change ? change.expiryDate : grant.expiryDate,
    newBaseline: change ? change.expirationBaselineMicrodollars : grant.expirationBaselineMicrodollars,
    closingId: closing?.id ?? null,
    closingAmount: closing?.row.amountMicrodollars ?? null,
    closingDescription: closing?.row.description ?? null,
    closingCreatedAt: closing?.row.createdAt ?? null,
  }))
}

type Closing = { readonly id: string; readonly row: ChangePlan['change']['closings'][number] }
type Touched = {
  readonly grant: LedgerRow
  readonly change: GrantChange | null
  readonly closing: Closing | null
}

/** Every grant that is dated, raised or closed, once, with what is written of it. */
function touchedGrants({ plan: { change }, closingIds }: PlannedUser): Touched[] {
  const touched = new Map<string, Touched>()
  for (const one of change.grants) touched.set(one.grant.id, { grant: one.grant, change: one, closing: null })
  for (const [index, row] of change.closings.entries()) {
    const closing = { id: closingIds[index] ?? '', row }
    touched.set(row.grant.id, {
      grant: row.grant,
      change: touched.get(row.grant.id)?.change ?? null,
      closing,
    })
  }
  return [...touched.values()]
}

const CORRECTION_COLUMNS = ['id', 'userId', 'amount', 'description', 'createdAt', 'used'] as const

function correctionParameter({ plan: { user, change }, correctionId }: PlannedUser) {
  if (!change.correction || correctionId === null) return []
  const { amountMicrodollars, description, createdAt, originalBaselineMicrodollars } = change.correction
  return [
    {
      id: correctionId,
      userId: user.id,
      amount: amountMicrodollars,
      description,
      createdAt,
      used: originalBaselineMicrodollars,
    },
  ]
}

/** What the ledger must hold for a user after writeExpirations, as compareWritten compares it. */
export function writtenBy(planned: PlannedUser): Written {
  const { plan, closingIds, correctionId } = planned
  const { user, change } = plan
  return {
    users: [
      {
        id: user.id,
        used: user.usedMicrodollars,
        acquired: change.acquiredMicrodollars,
        nextExpiration: change.nextCreditExpirationAt,
      },
    ],
    grants: touchedGrants(planned).map(({ grant, change: changed }) => ({
      userId: user.id,
      id: grant.id,
      amount: grant.amountMicrodollars,
      expiryDate: changed ? changed.expiryDate : grant.expiryDate,
      baseline: changed ? changed.expirationBaselineMicrodollars : grant.expirationBaselineMicrodollars,
      originalBaseline: grant.originalBaselineMicrodollars,
    })),
    inserted: [
      ...change.closings.map((row, index) => ({
        userId: user.id,
        id: closingIds[index] ?? '',
        amount: row.amountMicrodollars,
        isFree: row.grant.isFree,
        description: row.description,
        category: 'credits_expired',
        link: row.grant.id,
        createdAt: row.createdAt,
        originalBaseline: row.originalBaselineMicrodollars,
      })),
      ...(change.correction && correctionId !== null
        ? [
            {
              userId: user.id,
              id: correctionId,
              amount: change.correction.amountMicrodollars,
              isFree: true,
              description: change.correction.description,
              category: 'accounting_adjustment',
              link: null,
              createdAt: change.correction.createdAt,
              originalBaseline: change.correction.originalBaselineMicrodollars,
            },
          ]
        : []),
    ],
    deleted: [],
  }
}
