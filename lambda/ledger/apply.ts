import type { ChangePlan } from '../rules/types.ts'
import type { Sql, Transaction } from './connect.ts'
import { GuardConflict } from './errors.ts'
import { writeGuarded, writeUnderLock } from './guarded.ts'
import { type Reading, readUsersIn } from './read.ts'

/** A planned user with the ids of the rows to insert: `closingIds` in the order of the plan's closings. */
export type PlannedUser = {
  readonly plan: ChangePlan
  readonly closingIds: readonly string[]
  readonly correctionId: string | null
}

/**
 * Applies the plans of a page with a handful of statements, and returns the ids of the users for whom it committed.
 * For the others nothing at all was written.
 * @throws as writeGuarded
 */
export async function applyPlans(
  sql: Sql,
  planned: readonly PlannedUser[],
  leaseExpiresAt: string,
): Promise<ReadonlySet<string>> {
  const userIds = planned.map(({ plan }) => plan.user.id)
  return writeGuarded(sql, userIds, leaseExpiresAt, async (tx, locked) =>
    writeHeld(
      tx,
      planned.filter(({ plan }) => locked.has(plan.user.id)),
    ),
  )
}

/**
 * The same for one user under a lock: `plan` gets what is read under it, makes the intent durable, and returns what to
 * write, or null for nothing. Returns whether anything was committed.
 * @throws as writeUnderLock, and whatever `plan` throws
 */
export async function applyPlanUnderLock(
  sql: Sql,
  userId: string,
  leaseExpiresAt: string,
  plan: (reading: Reading | undefined) => Promise<PlannedUser | null>,
): Promise<boolean> {
  return writeUnderLock(sql, userId, leaseExpiresAt, async (tx) => {
    const planned = await plan((await readUsersIn(tx, [userId])).get(userId))
    return planned && writeHeld(tx, [planned])
  })
}

/**
 * Writes users, grants and new rows in one statement in which each write feeds on the rows that the one before it
 * wrote: no grant of a user whose guard failed is touched, and no closing row is inserted beside a grant that is
 * not as it was read. A due grant whose date and baseline stay is written with its own values: that guards it too.
 * What was written is then counted against the plan, user by user: in one list, since the planner joins these CTEs,
 * of whose sizes it knows nothing, by going through each for every user.
 */
async function writeHeld(tx: Transaction, planned: readonly PlannedUser[]): Promise<Set<string>> {
  if (planned.length === 0) return new Set()
  type Row = { id: string; acquired: string; grants: number; rows: number; amount: string }
  const written = await tx<Row[]>`
    with held as (
      update kilocode_users u
      set
        total_microdollars_acquired = p.new_acquired,
        next_credit_expiration_at = p.new_next_expiration,
        updated_at = now()
      from jsonb_to_recordset(${JSON.stringify(planned.map(toParameter))}::text::jsonb) as p(
        id text, email text, used bigint, acquired bigint, next_expiration timestamptz,
        new_acquired bigint, new_next_expiration timestamptz, grants jsonb, correction jsonb
      )
      where u.id = p.id
        and u.google_user_email = p.email
        and u.microdollars_used = p.used
        and u.total_microdollars_acquired = p.acquired
        and u.next_credit_expiration_at is not distinct from p.next_expiration
      returning u.id, u.total_microdollars_acquired as acquired, u.microdollars_used as used, p.grants, p.correction
    ),
    dated as (
      update credit_transactions c
      set
        expiry_date = g.new_expiry_date,
        expiration_baseline_microdollars_used = g.new_baseline
      from held
      cross join lateral jsonb_to_recordset(held.grants) as g(
        id uuid, amount bigint, is_free boolean, expiry_date timestamptz, baseline bigint, original_baseline bigint,
        new_expiry_date timestamptz, new_baseline bigint,
        closing_id uuid, closing_amount bigint, closing_description text, closing_created_at timestamptz
      )
      where c.id = g.id
        and c.kilo_user_id = held.id
        and c.organization_id is null
        and c.amount_microdollars = g.amount
        and c.is_free = g.is_free
        and c.expiry_date is not distinct from g.expiry_date
        and c.expiration_baseline_microdollars_used is not distinct from g.baseline
        and c.original_baseline_microdollars_used is not distinct from g.original_baseline
      returning
        held.id as user_id, held.used, g.id as grant_id, g.is_free,
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
        k.id, held.id, k.amount, true, k.description, 'accounting_adjustment',
        null, k.created_at, held.used
      from held
      cross join lateral jsonb_to_record(held.correction) as k(
        id uuid, amount bigint, description text, created_at timestamptz
      )
      where k.id is not null
      returning kilo_user_id as user_id, amount_microdollars as amount
    )
    select
      id,
      max(acquired) as acquired,
      sum(grants)::int as grants,
      sum(rows)::int as rows,
      sum(amount) as amount
    from (
      select id, acquired, 0 as grants, 0 as rows, 0 as amount from held
      union all
      select user_id, null, 1, 0, 0 from dated
      union all
      select user_id, null, 0, 1, amount from inserted
    ) as written
    group by id
  `
  const plans = new Map(planned.map((one) => [one.plan.user.id, one]))
  for (const row of written) checkWritten(row, plans.get(row.id))
  return new Set(written.map((row) => row.id))
}

function checkWritten(
  row: { id: string; acquired: string; grants: number; rows: number; amount: string },
  planned: PlannedUser | undefined,
): void {
  if (!planned) throw new GuardConflict(`The user ${row.id} was written without a plan.`)
  const { plan, closingIds, correctionId } = planned
  const moved = BigInt(row.acquired) - BigInt(plan.user.acquiredMicrodollars)
  const asPlanned =
    row.grants === touchedGrants(plan).length &&
    row.rows === closingIds.length + (correctionId === null ? 0 : 1) &&
    BigInt(row.acquired) === BigInt(plan.change.acquiredMicrodollars) &&
    moved === BigInt(row.amount)
  if (!asPlanned)
    throw new GuardConflict(
      `What was written for the user ${row.id} differs from the plan: a grant changed in between.`,
    )
}

type TouchedGrant = {
  readonly grant: ChangePlan['change']['grants'][number]['grant']
  readonly closing: number | null
  readonly change: number | null
}

/** Every grant that is dated, raised or closed, once, with the places of its change and of its closing row in the plan. */
function touchedGrants({ change }: ChangePlan): TouchedGrant[] {
  const touched = new Map<string, TouchedGrant>()
  change.grants.forEach(({ grant }, index) => touched.set(grant.id, { grant, change: index, closing: null }))
  change.closings.forEach(({ grant }, index) =>
    touched.set(grant.id, { grant, change: touched.get(grant.id)?.change ?? null, closing: index }),
  )
  return [...touched.values()]
}

function toParameter({ plan, closingIds, correctionId }: PlannedUser) {
  const { user, change } = plan
  return {
    id: user.id,
    email: user.email,
    used: user.usedMicrodollars,
    acquired: user.acquiredMicrodollars,
    next_expiration: user.nextCreditExpirationAt,
    new_acquired: change.acquiredMicrodollars,
    new_next_expiration: change.nextCreditExpirationAt,
    grants: touchedGrants(plan).map((touched) => toGrantParameter(touched, plan, closingIds)),
    correction: change.correction && {
      id: correctionId,
      amount: change.correction.amountMicrodollars,
      description: change.correction.description,
      created_at: change.correction.createdAt,
    },
  }
}

function toGrantParameter(
  { grant, change, closing }: TouchedGrant,
  plan: ChangePlan,
  closingIds: readonly string[],
) {
  const changed = change === null ? null : plan.change.grants[change]
  const row = closing === null ? null : plan.change.closings[closing]
  return {
    id: grant.id,
    amount: grant.amountMicrodollars,
    is_free: grant.isFree,
    expiry_date: grant.expiryDate,
    baseline: grant.expirationBaselineMicrodollars,
    original_baseline: grant.originalBaselineMicrodollars,
    new_expiry_date: changed ? changed.expiryDate : grant.expiryDate,
    new_baseline: changed ? changed.expirationBaselineMicrodollars : grant.expirationBaselineMicrodollars,
    closing_id: closing === null ? null : closingIds[closing],
    closing_amount: row?.amountMicrodollars,
    closing_description: row?.description,
    closing_created_at: row?.createdAt,
  }
}
