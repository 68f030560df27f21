import { createHash } from 'node:crypto'
import type { ISql } from 'postgres'
import { addOrdinaryUsers } from './rest.ts'
import { LOOKALIKES, STORIES, type Story, type StoryRow } from './stories.ts'

const USERS = 600
const INTERNAL_USERS = 60

const DAY_MS = 86_400_000
const CLOSING = 'credits_expired'
/** An organization whose credits are not personal. */
const ORGANIZATION_ID = '7c0e8a52-3f0b-4a55-9d0c-5b1f6a2e9d31'

/**
 * Fills an empty ledger with 600 invented users, 60 of them internal: the users of the stories, and ordinary
 * users. The same time gives the same rows. Give it a transaction, so that an interrupted seeding leaves
 * nothing.
 */
export async function seedSampleLedger(sql: ISql, { now }: { readonly now: Date }): Promise<void> {
  const told = [...STORIES, ...LOOKALIKES.map(lookalike)]
  const users = told.map((story) => userOf(story, now))
  const rows = told.flatMap((story) => story.rows.map((_, place) => rowOf(story, place, now)))
  await sql`
    insert into kilocode_users
    select * from jsonb_populate_recordset(null::kilocode_users, ${JSON.stringify(users)}::text::jsonb)
  `
  await sql`
    insert into credit_transactions
    select * from jsonb_populate_recordset(null::credit_transactions, ${JSON.stringify(rows)}::text::jsonb)
  `
  const internal = INTERNAL_USERS - STORIES.length
  await addOrdinaryUsers(sql, { now, internal, users: USERS - told.length })
  await addReferences(sql)
  await setBalances(sql)
  await sql`analyze kilocode_users, credit_transactions`
}

function lookalike(email: string): Story {
  const grant = { daysAgo: 150, usd: 20, category: 'automatic-welcome-credits' }
  return { email, shows: 'not internal', usedUsd: 8, rows: [grant] }
}

function userOf(story: Story, now: Date): Record<string, unknown> {
  const { email } = story
  const name = email.slice(0, email.lastIndexOf('@')).replace(/[^a-z]+/gi, ' ')
  const since = timeText(now, story.rows[0]?.daysAgo ?? 70)
  return {
    id: idOf(email),
    google_user_email: email,
    google_user_name: name,
    google_user_image_url: `https://images.example.com/${hash(email).slice(0, 12)}.png`,
    stripe_customer_id: `cus_${hash(email).slice(0, 14)}`,
    created_at: since,
    updated_at: since,
    microdollars_used: microdollars(story.usedUsd),
    // setBalances adds the sum of the personal rows.
    total_microdollars_acquired: -microdollars(story.clawedBackUsd ?? 0),
    auto_top_up_enabled: story.autoTopUp ?? false,
    is_admin: false,
    is_bot: email.startsWith('build-bot'),
    blocked_reason: story.blocked ?? null,
  }
}

function rowOf(story: Story, place: number, now: Date): Record<string, unknown> {
  const row = rowAt(story, place)
  const original = row.links === undefined ? undefined : rowAt(story, row.links)
  const closes = row.category === CLOSING && original !== undefined
  return {
    id: rowId(story.email, place),
    kilo_user_id: idOf(story.email),
    amount_microdollars: microdollars(row.usd),
    is_free: (original ?? row).paid !== true,
    description: row.description ?? (closes ? `Expired: ${original.category}` : `Credits: ${row.category}`),
    credit_category: row.category,
    original_transaction_id: row.links === undefined ? null : rowId(story.email, row.links),
    stripe_payment_id: row.paid === true ? `pi_${hash(rowId(story.email, place)).slice(0, 24)}` : null,
    expiry_date: expiryOf(row, now),
    created_at: (closes ? expiryOf(original, now) : null) ?? timeText(now, row.daysAgo),
    original_baseline_microdollars_used: microdollars(row.usedUsd ?? 0),
    expiration_baseline_microdollars_used: row.lasts === undefined ? null : microdollars(row.usedUsd ?? 0),
    organization_id: row.organization === true ? ORGANIZATION_ID : null,
    check_category_uniqueness: row.category === 'automatic-welcome-credits',
  }
}

function rowAt({ email, rows }: Story, place: number): StoryRow {
  const row = rows[place]
  if (row === undefined) throw new Error(`The story of ${email} has no row ${place}.`)
  return row
}

function expiryOf({ daysAgo, lasts }: StoryRow, now: Date): string | null {
  if (lasts === undefined || lasts === 'infinity') return lasts ?? null
  return timeText(now, daysAgo - lasts)
}

/** A time as the application stores it, with microseconds. */
function timeText(now: Date, daysAgo: number): string {
  return new Date(now.getTime() - daysAgo * DAY_MS).toISOString().replace('Z', '457Z')
}

function microdollars(usd: number): number {
  return Math.round(usd * 1_000_000)
}

function idOf(email: string): string {
  return `oauth/google:1${BigInt(`0x${hash(email)}`)
    .toString()
    .slice(0, 20)}`
}

function rowId(email: string, place: number): string {
  const hex = hash(`${email}/${place}`)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** Rows of other tables that point at Esther's grants, in those of the tables that the schema has. */
async function addReferences(sql: ISql): Promise<void> {
  const user = idOf('esther@kilo.ai')
  const credit = rowId('esther@kilo.ai', 2)
  const [found] = await sql<{ terms: boolean; audit: boolean }[]>`
    select
      to_regclass('coding_plan_terms') is not null as terms,
      to_regclass('kilo_pass_audit_log') is not null as audit
  `
  await sql`
    insert into kilo_pass_issuance_items (kind, credit_transaction_id, amount_usd)
    values ('bonus', ${credit}, 20)
  `
  if (found?.terms)
    await sql`
      insert into coding_plan_terms (kilo_user_id, plan, credit_transaction_id) values (${user}, 'pro', ${credit})
    `
  if (found?.audit)
    await sql`
      insert into kilo_pass_audit_log (kilo_user_id, action, result, related_credit_transaction_id)
      values (${user}, 'issue_bonus', 'success', ${credit})
    `
}

/** A total is the sum of the personal rows; the next expiration is the earliest date of an open row. */
async function setBalances(sql: ISql): Promise<void> {
  await sql`
    update kilocode_users as u
    set
      total_microdollars_acquired = u.total_microdollars_acquired + t.total,
      next_credit_expiration_at = t.next
    from (
      select
        c.kilo_user_id,
        sum(c.amount_microdollars) as total,
        min(c.expiry_date) filter (where closing.id is null) as next
      from credit_transactions c
      left join credit_transactions closing
        on closing.original_transaction_id = c.id
        and closing.credit_category in ('credits_expired', 'orb_credit_expired', 'orb_credit_voided')
      where c.organization_id is null
      group by c.kilo_user_id
    ) t
    where u.id = t.kilo_user_id
  `
}
