import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import type { ParameterOrFragment, PendingQuery, Sql } from 'postgres'
import { identifiersOf, type LedgerTransaction } from '../../lambda/ledger/connection/connect.ts'
import { type Reading, readUsers } from '../../lambda/ledger/read.ts'
import { planUser } from '../../lambda/rules/plan.ts'
import { DEFAULT_REVIEW_CATEGORIES } from '../../lambda/rules/review.ts'
import { instantToLedgerTime } from '../../lambda/rules/times.ts'
import type { ChangePlan, RuleSettings } from '../../lambda/rules/types.ts'

const AT_ONCE = 50

const rulesAt = (instant: string): RuleSettings => ({
  instant: instantToLedgerTime(instant),
  minGrantAgeSeconds: 60,
  correctionDescriptions: [],
  reviewCategories: DEFAULT_REVIEW_CATEGORIES,
  categories: null,
  excludedCategories: [],
})

/** The statements of a pool of the driver's own, for functions of the ledger. */
export function asTransaction(sql: Sql): LedgerTransaction {
  const send = <Rows extends readonly (object | undefined)[]>(
    template: TemplateStringsArray,
    ...parameters: readonly ParameterOrFragment<never>[]
  ): PendingQuery<Rows> => sql(template, ...parameters)
  return Object.assign(send, { identifier: identifiersOf(sql) })
}

async function internalIds(sql: Sql): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    select id from kilocode_users where lower(google_user_email) like any (array['%@kilocode.ai', '%@kilo.ai']) order by id
  `
  return rows.map(({ id }) => id)
}

/** The plans of all internal users, as the floor needs them beforehand. */
export async function planAll(sql: Sql, instant: string): Promise<ChangePlan[]> {
  const plans: ChangePlan[] = []
  const ids = await internalIds(sql)
  for (let from = 0; from < ids.length; from += 500) {
    for (const reading of (await readUsers(asTransaction(sql), ids.slice(from, from + 500))).values()) {
      const plan = planReading(reading, instant)
      if (plan) plans.push(plan)
    }
  }
  return plans
}

/** The plan of one user; null where there is nothing to change. */
export function planReading(reading: Reading, instant: string): ChangePlan | null {
  if ('unusable' in reading) throw reading.unusable
  const plan = planUser(reading.user, reading.rows, rulesAt(instant), {
    named: false,
    excluded: false,
    takenLinks: new Set(),
  })
  return plan.change ? plan : null
}

/**
 * What people do today: user by user, 50 at once, read, date, read again, then a transaction of user update,
 * closing rows, one baseline update at a time, and a correction; and three JSONL files on the local disk,
 * written as it goes. `write` false is its dry run, with the same files.
 */
export async function script(sql: Sql, dir: string, instant: string, write: boolean): Promise<void> {
  const files = await mkdtemp(join(dir, 'script-'))
  const logs = {
    users: createWriteStream(join(files, 'users.jsonl')),
    mutations: createWriteStream(join(files, 'mutations.jsonl')),
    errors: createWriteStream(join(files, 'errors.jsonl')),
  }
  const ids = (await internalIds(sql)).values()
  const worker = async (): Promise<void> => {
    for (const id of ids) {
      const plan = await oneUser(sql, id, instant, write)
      if (!plan) continue
      const { user, change, credits, expiredMicrodollars } = plan
      logs.users.write(`${JSON.stringify({ id, email: user.email, expiredMicrodollars, credits })}\n`)
      for (const closing of change.closings) logs.mutations.write(`${JSON.stringify(closing)}\n`)
      for (const grant of change.grants) logs.mutations.write(`${JSON.stringify(grant)}\n`)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  await Promise.all(
    Object.values(logs).map(async (log) => {
      log.end()
      await finished(log)
    }),
  )
  await rm(files, { recursive: true })
}

async function oneUser(sql: Sql, id: string, instant: string, write: boolean): Promise<ChangePlan | null> {
  const statements = asTransaction(sql)
  const first = (await readUsers(statements, [id])).get(id)
  const plan = first ? planReading(first, instant) : null
  if (!plan || !write) return plan
  const dated = plan.change.grants.filter(({ targeted }) => targeted).map(({ grant }) => grant.id)
  await sql`
    update credit_transactions set expiry_date = ${instant}::text::timestamptz
    where id in (select jsonb_array_elements_text(${JSON.stringify(dated)}::text::jsonb)::uuid)
  `
  await readUsers(statements, [id])
  const { user, change } = plan
  await sql.begin(async (tx) => {
    const updated = await tx`
      update kilocode_users
      set total_microdollars_acquired = ${String(change.acquiredMicrodollars)}::text::bigint,
          next_credit_expiration_at = ${change.nextCreditExpirationAt}::text::timestamptz, updated_at = now()
      where id = ${id} and total_microdollars_acquired = ${String(user.acquiredMicrodollars)}::text::bigint
    `
    if (updated.count !== 1) throw new Error(`User ${id} changed.`)
    await tx`insert into credit_transactions ${tx(change.closings.map((row) => closingColumns(id, row)))}`
    for (const { grant, expirationBaselineMicrodollars } of change.grants) {
      await tx`
        update credit_transactions
        set expiration_baseline_microdollars_used = ${String(expirationBaselineMicrodollars)}::text::bigint
        where id = ${grant.id}
      `
    }
    if (change.correction)
      await tx`insert into credit_transactions ${tx(correctionColumns(id, change.correction))}`
  })
  return plan
}

type Row = ReturnType<typeof closingColumns>

function closingColumns(userId: string, row: ChangePlan['change']['closings'][number]) {
  return {
    id: randomUUID() as string,
    kilo_user_id: userId,
    amount_microdollars: row.amountMicrodollars,
    is_free: row.grant.isFree,
    description: row.description,
    credit_category: 'credits_expired',
    original_transaction_id: row.grant.id as string | null,
    created_at: row.createdAt,
    original_baseline_microdollars_used: row.originalBaselineMicrodollars,
  }
}

function correctionColumns(userId: string, correction: NonNullable<ChangePlan['change']['correction']>): Row {
  return {
    id: randomUUID(),
    kilo_user_id: userId,
    amount_microdollars: correction.amountMicrodollars,
    is_free: true,
    description: correction.description,
    credit_category: 'accounting_adjustment',
    original_transaction_id: null,
    created_at: correction.createdAt,
    original_baseline_microdollars_used: correction.originalBaselineMicrodollars,
  }
}

/** The rows of plans, made ready for `floor`. */
export function floorRows(plans: readonly ChangePlan[]): { users: string; grants: string; rows: string } {
  return {
    users: JSON.stringify(
      plans.map(({ user, change }) => [user.id, change.acquiredMicrodollars, change.nextCreditExpirationAt]),
    ),
    grants: JSON.stringify(
      plans.flatMap(({ change }) =>
        change.grants.map((g) => [g.grant.id, g.expiryDate, g.expirationBaselineMicrodollars]),
      ),
    ),
    rows: JSON.stringify(
      plans.flatMap(({ user, change }) => [
        ...change.closings.map((row) => closingColumns(user.id, row)),
        ...(change.correction ? [correctionColumns(user.id, change.correction)] : []),
      ]),
    ),
  }
}

/** The same rows by three set-based statements in one transaction: no reading, no planning, no logs. */
export async function floor(sql: Sql, { users, grants, rows }: ReturnType<typeof floorRows>): Promise<void> {
  await sql.begin(async (tx) => {
    await tx`
      update kilocode_users u
      set total_microdollars_acquired = (p ->> 1)::bigint, next_credit_expiration_at = (p ->> 2)::timestamptz, updated_at = now()
      from jsonb_array_elements(${users}::text::jsonb) as p where u.id = p ->> 0
    `
    await tx`
      update credit_transactions c
      set expiry_date = (g ->> 1)::timestamptz, expiration_baseline_microdollars_used = (g ->> 2)::bigint
      from jsonb_array_elements(${grants}::text::jsonb) as g where c.id = (g ->> 0)::uuid
    `
    await tx`
      insert into credit_transactions (
        id, kilo_user_id, amount_microdollars, is_free, description, credit_category,
        original_transaction_id, created_at, original_baseline_microdollars_used
      )
      select * from jsonb_to_recordset(${rows}::text::jsonb) as r(
        id uuid, kilo_user_id text, amount_microdollars bigint, is_free boolean, description text, credit_category text,
        original_transaction_id uuid, created_at timestamptz, original_baseline_microdollars_used bigint
      )
    `
  })
}
