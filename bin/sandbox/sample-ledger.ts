import type { ISql } from 'postgres'
import { acquiredBy, nextExpiration, tell, timeText } from './sample-history.ts'
import type { History } from './sample-history.ts'
import { inventPeople, personOf } from './sample-people.ts'
import { randomFrom } from './sample-random.ts'
import type { Random } from './sample-random.ts'
import { LOOKALIKES, LOOKALIKE_STORY, TEAM, ordinaryStory } from './sample-stories.ts'

const USERS = 600
const INTERNAL_USERS = 60

/**
 * Fills an empty ledger with about 600 invented users, 60 of them internal. The same seed and time give the same rows.
 * Give it a transaction, so that an interrupted seeding leaves nothing.
 */
export async function seedSampleLedger(sql: ISql, options: { now: Date; seed?: number }): Promise<void> {
  const { now, seed = 1 } = options
  const histories = inventHistories(now.getTime(), randomFrom(seed))
  const users = histories.map(userOf)
  const transactions = histories.flatMap((history) => history.transactions)
  await sql`
    INSERT INTO kilocode_users
    SELECT * FROM jsonb_populate_recordset(NULL::kilocode_users, ${JSON.stringify(users)}::text::jsonb)`
  await sql`
    INSERT INTO credit_transactions
    SELECT * FROM jsonb_populate_recordset(NULL::credit_transactions, ${JSON.stringify(transactions)}::text::jsonb)`
  // A grant of a subscription, which production's own table points at.
  await sql`
    INSERT INTO kilo_pass_issuance_items (id, kind, credit_transaction_id, amount_usd, created_at)
    SELECT t.id, 'bonus', t.id, t.amount_microdollars / 1000000.0, t.created_at
    FROM credit_transactions AS t
    JOIN kilocode_users AS u ON u.id = t.kilo_user_id
    WHERE u.google_user_email = 'esther@kilo.ai' AND t.credit_category = 'first-top-up-bonus'`
  await sql`ANALYZE kilocode_users, credit_transactions`
}

function inventHistories(now: number, random: Random): History[] {
  const people = inventPeople(random)
  const team = TEAM.map(({ name, email, story }) => tell(personOf(random, name, email), random, now, story))
  const lookalikes = LOOKALIKES.map(({ name, email }) => {
    return tell(personOf(random, name, email), random, now, LOOKALIKE_STORY)
  })
  const colleagues = Array.from({ length: INTERNAL_USERS - team.length }, () => {
    return tell(people.colleague(), random, now, ordinaryStory(random))
  })
  const outsiders = Array.from({ length: USERS - INTERNAL_USERS - lookalikes.length }, () => {
    return tell(people.outsider(), random, now, ordinaryStory(random))
  })
  return [...team, ...lookalikes, ...colleagues, ...outsiders]
}

function userOf(history: History): Record<string, unknown> {
  const { person, random, signedUpAt, used, autoTopUp, blockedReason } = history
  const signedUp = timeText(signedUpAt, random)
  return {
    id: person.id,
    google_user_email: person.email,
    google_user_name: person.name,
    google_user_image_url: `https://images.example.com/${person.id.slice(-12)}.png`,
    created_at: signedUp,
    updated_at: history.transactions.at(-1)?.created_at ?? signedUp,
    stripe_customer_id: `cus_${random.uuid().replaceAll('-', '').slice(0, 14)}`,
    microdollars_used: used,
    total_microdollars_acquired: acquiredBy(history),
    next_credit_expiration_at: nextExpiration(history),
    auto_top_up_enabled: autoTopUp,
    is_admin: random.chance(0.01),
    is_bot: person.name.endsWith(' Bot'),
    email_domain: random.chance(0.3)
      ? person.email.slice(person.email.lastIndexOf('@') + 1).toLowerCase()
      : null,
    blocked_reason: blockedReason,
  }
}
