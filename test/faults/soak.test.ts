import { setTimeout as pause } from 'node:timers/promises'
import postgres, { type Sql } from 'postgres'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ExitCard } from '../../lambda/exit-card.ts'
import { auditAndLogs, auditJob, commitsOf } from '../support/audit.ts'
import { freshBucket, type TestBucket } from '../support/bucket.ts'
import { invokeJob } from '../support/job.ts'
import { freshDatabase } from '../support/ledger.ts'
import { productionPass } from '../support/places/production.ts'

/**
 * Every kind of writer at once on 2,000 users, for a bounded number of rounds: usage, new grants, top-ups,
 * clawbacks, production's own pass, and two executes at a time. SOAK=full takes a minute and more;
 * SOAK_SEED=… makes the same choices again (in what order they meet is up to the machine).
 */
const FULL = process.env.SOAK === 'full'
const SEED = Number(process.env.SOAK_SEED ?? Math.floor(Math.random() * 2 ** 31))
const ROUNDS = FULL ? 14 : 2
const ROUND_MS = FULL ? 5_000 : 3_000
const USERS = 2_000
const USD = 1_000_000

let database: Awaited<ReturnType<typeof freshDatabase>>
let sql: Sql
let bucket: TestBucket
let application: Sql
let initial: Map<string, bigint>

beforeAll(async () => {
  process.stderr.write(`SOAK_SEED=${SEED}\n`)
  database = await freshDatabase()
  sql = database.sql
  bucket = await freshBucket()
  application = postgres(database.url, { max: 8, onnotice: () => undefined })
  await auditJob(sql)
  await fill()
  initial = await totals()
})
afterAll(async () => {
  await application.end()
  await database.drop()
})

/**
 * Users with a free grant, most of them undated; some with a paid credit that is due, or due soon; some
 * overdrawn.
 */
async function fill(): Promise<void> {
  await sql`
    INSERT INTO kilocode_users (id, google_user_email, google_user_name, google_user_image_url, stripe_customer_id, created_at)
    SELECT 'user-' || lpad(n::text, 4, '0'), 'user-' || n || '@kilo.ai', 'Ada', '', 'cus', now() - interval '60 days'
    FROM generate_series(1, ${USERS}) AS n`
  await oldGrants(0)
  await sql`
    INSERT INTO credit_transactions (kilo_user_id, amount_microdollars, is_free, created_at, expiry_date, expiration_baseline_microdollars_used, description)
    SELECT 'user-' || lpad(n::text, 4, '0'), 20 * ${USD}::bigint, false, now() - interval '40 days',
      now() + make_interval(secs => (n % 60) - 30), 0, 'Paid'
    FROM generate_series(1, ${USERS}) AS n WHERE n % 5 = 0`
  await sql`
    UPDATE kilocode_users u SET
      total_microdollars_acquired = (SELECT coalesce(sum(amount_microdollars), 0) FROM credit_transactions WHERE kilo_user_id = u.id),
      next_credit_expiration_at = (SELECT min(expiry_date) FROM credit_transactions WHERE kilo_user_id = u.id),
      microdollars_used = (abs(hashtext(u.id || ${String(SEED)})) % 14) * ${USD}::bigint`
}

/** More to do for the next round: a month-old grant for every third user, with its total. */
async function oldGrants(round: number): Promise<void> {
  await sql`
    WITH given AS (
      INSERT INTO credit_transactions (kilo_user_id, amount_microdollars, is_free, created_at, original_baseline_microdollars_used, credit_category)
      SELECT id, 10 * ${USD}::bigint, true, now() - interval '30 days', microdollars_used, 'automatic-welcome-credits'
      FROM kilocode_users WHERE ${round} = 0 OR right(id, 4)::int % 3 = ${round % 3}
      RETURNING kilo_user_id, amount_microdollars
    )
    UPDATE kilocode_users SET total_microdollars_acquired = total_microdollars_acquired + amount_microdollars
    FROM given WHERE id = kilo_user_id`
}

async function totals(): Promise<Map<string, bigint>> {
  await sql`CREATE TABLE known_rows AS SELECT id FROM credit_transactions`
  const rows = await sql<
    { id: string; total: string }[]
  >`SELECT id, total_microdollars_acquired AS total FROM kilocode_users`
  return new Map(rows.map(({ id, total }) => [id, BigInt(total)]))
}

/** mulberry32: a number from 0 to 1 with every call. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

type Happening = (userId: string, dice: () => number) => Promise<unknown>

const usage: Happening = (userId, dice) =>
  application`UPDATE kilocode_users SET microdollars_used = microdollars_used + ${Math.floor(dice() * 50_000)} WHERE id = ${userId}`

const addToTotal = (
  on: Sql | postgres.TransactionSql,
  userId: string,
  amount: number,
  expiry: string | null,
) => on`
  UPDATE kilocode_users
  SET total_microdollars_acquired = total_microdollars_acquired + ${amount},
    next_credit_expiration_at = least(next_credit_expiration_at, ${expiry}::text::timestamptz), updated_at = now()
  WHERE id = ${userId}`

const insertCredit = (
  on: Sql | postgres.TransactionSql,
  userId: string,
  amount: number,
  isFree: boolean,
  expiry: string | null,
) => on`
  INSERT INTO credit_transactions (kilo_user_id, amount_microdollars, is_free, expiry_date, expiration_baseline_microdollars_used, original_baseline_microdollars_used)
  SELECT id, ${amount}, ${isFree}, ${expiry}::text::timestamptz, CASE WHEN ${expiry}::text IS NOT NULL THEN microdollars_used END, microdollars_used
  FROM kilocode_users WHERE id = ${userId}`

function expirySoon(dice: () => number): string | null {
  return dice() < 0.5 ? null : new Date(Date.now() + dice() * 4_000).toISOString()
}

/** As the application does it: two commits, and anything may come between them. */
const grantInTwoCommits: Happening = async (userId, dice) => {
  const [amount, expiry] = [Math.ceil(dice() * 5) * USD, expirySoon(dice)]
  await insertCredit(application, userId, amount, true, expiry)
  await pause(dice() * 30)
  await addToTotal(application, userId, amount, expiry)
}

const inOneCommit =
  (signed: (dice: () => number) => number, isFree: boolean): Happening =>
  async (userId, dice) => {
    const [amount, expiry] = [signed(dice), isFree ? expirySoon(dice) : null]
    await application.begin(async (tx) => {
      await insertCredit(tx, userId, amount, isFree, amount > 0 ? expiry : null)
      await addToTotal(tx, userId, amount, amount > 0 ? expiry : null)
    })
  }
const grantInOneCommit = inOneCommit((dice) => Math.ceil(dice() * 5) * USD, true)
const topUp = inOneCommit((dice) => Math.ceil(dice() * 20) * USD, false)
const clawback = inOneCommit((dice) => -Math.ceil(dice() * 6) * USD, false)

/**
 * Two of production's passes, or one of them and the job, may want to close the same grant: the later one is
 * refused.
 */
const production: Happening = (userId) =>
  productionPass(application, userId).catch((error: unknown) => {
    if (!(error instanceof postgres.PostgresError && error.code === '23505')) throw error
  })

/** Repeats until the round is over, with `pauseMs` at most between two. Returns how many there were. */
async function keepHappening(
  happening: Happening,
  seed: number,
  until: number,
  pauseMs: number,
): Promise<number> {
  const dice = random(seed)
  let times = 0
  for (; Date.now() < until; times++) {
    await happening(`user-${String(1 + Math.floor(dice() * USERS)).padStart(4, '0')}`, dice)
    if (pauseMs > 0) await pause(dice() * pauseMs)
  }
  return times
}

async function execute(minimumAge: number): Promise<ExitCard> {
  const env = {
    MIN_GRANT_AGE_SECONDS: String(minimumAge),
    LIMIT_CORRECTIONS_USD: '1000000',
    LIMIT_GRANTS: '1000000',
  }
  return invokeJob(
    { databaseUrl: database.url, bucket, env },
    { execute: true, batchSize: 150, concurrency: 3 },
  )
}

async function executeTwice(minimumAge: number, until: number): Promise<ExitCard[]> {
  const cards: ExitCard[] = []
  do cards.push(...(await Promise.all([execute(minimumAge), execute(minimumAge)])))
  while (Date.now() < until)
  return cards
}

test(
  'all writers at once: the money adds up, no grant is closed twice, no balance ends negative, and the logs are true',
  { timeout: 300_000 },
  async () => {
    const closed = new Set<string>()
    const sums = { happenings: 0, processed: 0, tooRecent: 0, failed: 0, busy: 0, runs: 0 }
    for (let round = 0; round < ROUNDS; round++) {
      if (round > 0) await oldGrants(round)
      // Between a grant's two commits only its age protects it: without that, a grant comes in one.
      const minimumAge = round % 2 === 0 ? 60 : 0
      const until = Date.now() + ROUND_MS
      const seed = SEED + round * 100
      const [cards, ...times] = await Promise.all([
        executeTwice(minimumAge, until),
        keepHappening(usage, seed + 1, until, 0),
        keepHappening(usage, seed + 2, until, 2),
        keepHappening(minimumAge > 0 ? grantInTwoCommits : grantInOneCommit, seed + 3, until, 30),
        keepHappening(topUp, seed + 4, until, 60),
        keepHappening(clawback, seed + 5, until, 60),
        keepHappening(production, seed + 6, until, 2),
        keepHappening(production, seed + 7, until, 2),
      ])
      for (const { status, runId, totals: counted } of cards) {
        expect(['complete', 'complete_with_errors', 'busy']).toContain(status)
        if (status === 'busy') sums.busy += 1
        if (status === 'busy' || closed.has(runId)) continue
        closed.add(runId)
        sums.runs += 1
        sums.processed += counted.usersProcessed
        sums.tooRecent += counted.outcomes.too_recent ?? 0
        sums.failed += counted.usersFailed
      }
      sums.happenings += times.reduce((all, one) => all + one, 0)
    }
    process.stderr.write(`soak: ${JSON.stringify(sums)}\n`)
    expect(sums.processed).toBeGreaterThan(USERS / 2)
    expect(sums.tooRecent).toBeGreaterThan(0)
    expect(sums.failed).toBe(0)

    await expectTotalsToFollowRows()
    const twice = await sql`
    SELECT original_transaction_id FROM credit_transactions
    WHERE credit_category IN ('credits_expired', 'orb_credit_expired', 'orb_credit_voided') GROUP BY 1 HAVING count(*) > 1 AND original_transaction_id IS NOT NULL`
    expect([...twice]).toEqual([])
    const below = (await commitsOf(sql)).filter(({ used, acquired }) => acquired < used)
    expect(below).toEqual([])
    const { database: noted, logs } = await auditAndLogs(sql, bucket, [...closed])
    expect(logs).toEqual(noted)
  },
)

async function expectTotalsToFollowRows(): Promise<void> {
  const rows = await sql<{ id: string; total: string; inserted: string }[]>`
    SELECT u.id, u.total_microdollars_acquired AS total,
      coalesce((SELECT sum(amount_microdollars) FROM credit_transactions t
        WHERE t.kilo_user_id = u.id AND NOT EXISTS (SELECT FROM known_rows k WHERE k.id = t.id)), 0) AS inserted
    FROM kilocode_users u`
  const wrong = rows.filter(
    ({ id, total, inserted }) => BigInt(total) - (initial.get(id) ?? 0n) !== BigInt(inserted),
  )
  expect(wrong).toEqual([])
}
