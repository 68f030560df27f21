import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ExitCard } from '../../lambda/exit-card.ts'
import type { HistoryAnswer, HistoryRun, UnreadableHistory } from '../../lambda/insight/history/history.ts'
import { freshBucket, readJson } from '../support/bucket.ts'
import { invokeJob, type JobPlace } from '../support/job.ts'
import { freshDatabase, insertTransaction, insertUser } from '../support/ledger.ts'
import { ask } from './ask.ts'
import { putText, removeObject } from './objects.ts'

/**
 * Two executes, a rollback of the first for some users, a dry run: ada is expired, rolled back and expired
 * again, bob has nothing and another address at the end, cid needs review, dan fails.
 */

const ADA = 'oauth/google:ada'
const { url, sql, drop } = await freshDatabase()
const bucket = await freshBucket()
const place: JobPlace = { databaseUrl: url, bucket, env: { MIN_GRANT_AGE_SECONDS: '0' } }
const cards: Record<'first' | 'rollback' | 'second' | 'dry', ExitCard> = {} as never

beforeAll(async () => {
  await insertUser(sql, {
    id: ADA,
    google_user_email: 'Ada@kilo.ai',
    total_microdollars_acquired: 30_000_000,
    microdollars_used: 14_000_000,
  })
  await insertTransaction(sql, { kilo_user_id: ADA, created_at: '2025-01-01T00:00:00Z' })
  await insertTransaction(sql, {
    kilo_user_id: ADA,
    created_at: '2025-02-01T00:00:00Z',
    description: 'Hack day',
  })
  await insertTransaction(sql, { kilo_user_id: ADA, is_free: false, description: 'Top-up' })
  await insertUser(sql, { id: 'bob' })
  await insertUser(sql, { id: 'cid', total_microdollars_acquired: 7_000_000 })
  await insertTransaction(sql, { kilo_user_id: 'cid' })
  await insertTransaction(sql, {
    kilo_user_id: 'cid',
    amount_microdollars: -3_000_000,
    credit_category: 'manual_decrement',
    created_at: '2026-11-20T00:00:00Z',
  })
  await insertUser(sql, { id: 'dan', total_microdollars_acquired: 10_000_000 })
  await insertTransaction(sql, { kilo_user_id: 'dan' })
  await sql.unsafe(`
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION 'poison' USING ERRCODE = '22000'; END $$;
    CREATE TRIGGER poison BEFORE UPDATE ON kilocode_users FOR EACH ROW WHEN (OLD.id = 'dan')
      EXECUTE FUNCTION refuse()`)
  const small = { batchSize: 1, by: 'Eve', reason: 'weekly clean-up' }
  cards.first = await invokeJob(place, { execute: true, ...small })
  cards.rollback = await invokeJob(place, { rollback: cards.first.runId, userIds: [ADA], execute: true })
  cards.dry = await invokeJob(place, {})
  await sql`UPDATE kilocode_users SET google_user_email = 'robert@kilo.ai' WHERE id = 'bob'`
  cards.second = await invokeJob(place, { execute: true })
})

afterAll(drop)

async function storyOf(user: string, more: object = {}): Promise<HistoryAnswer> {
  return ask<HistoryAnswer>(place, { history: user, ...more })
}

function runsOf({ result }: HistoryAnswer): HistoryRun[] {
  return result.runs.map((run) => {
    if ('problem' in run) throw new Error(run.problem)
    return run
  })
}

describe('the story of a user', () => {
  test('tells every real run, oldest first: who, why, what, and which run rolled it back', async () => {
    const answer = await storyOf(ADA)

    expect(answer.result.user).toEqual({ id: ADA, email: 'Ada@kilo.ai' })
    expect(runsOf(answer)).toMatchObject([
      {
        runId: cards.first.runId,
        at: cards.first.instant,
        mode: 'execute',
        status: 'complete_with_errors',
        by: 'Eve',
        via: 'test',
        reason: 'weekly clean-up',
        outcome: 'expired',
        rolledBackBy: cards.rollback.runId,
        balanceBeforeMicrodollars: 16_000_000,
        usedMicrodollars: 14_000_000,
        expiredMicrodollars: 6_000_000,
        finalBalanceMicrodollars: 10_000_000,
      },
      {
        runId: cards.rollback.runId,
        rollsBack: cards.first.runId,
        outcome: 'rolled_back',
        expiredMicrodollars: -6_000_000,
        finalBalanceMicrodollars: 16_000_000,
      },
      { runId: cards.second.runId, outcome: 'expired', rolledBackBy: null, expiredMicrodollars: 6_000_000 },
    ])
    expect(answer.next).toBeNull()
  })

  test('explains each grant: what it covered, what claimed before it, what was left', async () => {
    const [first] = runsOf(await storyOf(ADA))

    expect(first?.grants.map(({ description }) => description)).toEqual(['Welcome credits', 'Hack day'])
    const [welcome, hackDay] = first?.grants ?? []
    expect(welcome).toMatchObject({
      amountMicrodollars: 10_000_000,
      usedMicrodollars: 10_000_000,
      expiredMicrodollars: 0,
      why: 'It covered $10.00 of usage, from $0.00 to $10.00. Nothing was left; the balance stayed at $16.00.',
    })
    expect(hackDay).toMatchObject({
      usedMicrodollars: 4_000_000,
      expiredMicrodollars: 6_000_000,
      why:
        'Its baseline moved from $0.00 to $10.00, because other grants had covered that usage: ' +
        'Welcome credits of 2025-01-01 $10.00 (closed in this run). ' +
        'It covered $4.00 of usage, from $10.00 to $14.00. ' +
        '$6.00 was left and expired; the balance went from $16.00 to $10.00.',
    })
  })

  test('is found by e-mail, also in another case, and after the ledger has another address', async () => {
    expect((await storyOf('ADA@KILO.AI')).result.user.id).toBe(ADA)

    await sql`UPDATE kilocode_users SET google_user_email = 'deleted@deleted.invalid' WHERE id = ${ADA}`
    expect((await storyOf('ada@kilo.ai')).result.runs).toHaveLength(3)
    await sql`UPDATE kilocode_users SET google_user_email = 'Ada@kilo.ai' WHERE id = ${ADA}`
  })

  test('is found by an address that only older runs know, whatever is damaged in a newer one', async () => {
    expect((await storyOf('bob@kilo.ai')).result.user).toEqual({ id: 'bob', email: 'robert@kilo.ai' })

    const key = `logs/users/${cards.second.runId}/00000-0001.jsonl`
    const before = await putText(bucket, key, 'edited')
    expect((await storyOf('bob@kilo.ai')).result.user.id).toBe('bob')
    await putText(bucket, key, before)
  })

  test('has the reason of a user who was skipped, with the rows, and of one who failed', async () => {
    const [cid] = runsOf(await storyOf('cid'))
    expect(cid).toMatchObject({
      outcome: 'needs_review',
      rows: [{ credit_category: 'manual_decrement', amount_microdollars: -3_000_000 }],
      grants: [{ expiredMicrodollars: null, why: 'Nothing expired: the user was skipped (needs_review).' }],
    })
    const [dan] = runsOf(await storyOf('dan'))
    expect(dan).toMatchObject({ outcome: 'failed', error: { stage: 'apply' } })
    expect(dan?.error?.message).toContain('poison')
    const [bob] = runsOf(await storyOf('bob'))
    expect(bob?.meaning).toBe(
      'The user has no free, personal, positive grant that is open and can be closed.',
    )
  })

  test('is narrowed to a period', async () => {
    const day = cards.first.instant.slice(0, 10)
    expect(runsOf(await storyOf(ADA, { from: day, to: day }))).toHaveLength(3)
    expect((await storyOf(ADA, { to: '2025' })).result).toMatchObject({
      user: { id: ADA, email: expect.stringContaining('@kilo.ai') },
      runs: [],
      none: 'No run that wrote to the ledger matched this user to 2025.',
    })
    const since = await storyOf(ADA, { from: cards.rollback.instant })
    expect(runsOf(since).map(({ runId }) => runId)).toEqual([cards.rollback.runId, cards.second.runId])
  })

  test('without a run for the user: why', async () => {
    await insertUser(sql, { id: 'zoe', google_user_email: 'zoe@example.com' })
    const none = async (user: string) => (await storyOf(user)).result.none
    expect(await none('zoe@example.com')).toBe(
      'No run that wrote to the ledger matched this user, whose e-mail address is not internal ' +
        '(kilo.ai, kilocode.ai).',
    )
    expect(await none('oauth/google:nobody')).toBe(
      'No run that wrote to the ledger matched this user, and the ledger has no such user: check the spelling.',
    )
    expect((await storyOf(ADA)).result.none).toBeNull()
  })

  test('with dry runs on request', async () => {
    const told = await storyOf(ADA, { dryRuns: true })
    expect(runsOf(told).map(({ mode }) => mode)).toEqual(['execute', 'rollback', 'dry-run', 'execute'])
    expect(runsOf(told)[2]).toMatchObject({ runId: cards.dry.runId, rolledBackBy: null })
    expect(told.athena).not.toContain('mode')
    const short = await ask<HistoryAnswer>(place, { history: ADA, dryRuns: true }, { timeLeft: () => 4_000 })
    expect(short.next?.payload).toMatchObject({ dryRuns: true })
  })

  test('where time ends, says what was not read, the payload that continues, and the Athena query', async () => {
    const short = await ask<HistoryAnswer>(place, { history: ADA }, { timeLeft: () => 4_000 })
    expect(short).toMatchObject({
      runsNotRead: 3,
      athena: `SELECT * FROM users WHERE user_id = '${ADA}' AND mode IN ('execute', 'rollback') ORDER BY run_id`,
      next: { payload: { history: ADA, to: cards.second.instant } },
    })
    expect(runsOf(await storyOf(ADA, { to: cards.second.instant }))).toHaveLength(3)
  })

  test('names a run whose part was edited, and tells the others', async () => {
    const { pages } = (await readJson(bucket, `runs/${cards.second.runId}/cursor.json`)) as {
      pages: { page: number; epoch: number }[]
    }
    expect(pages).toHaveLength(1)
    const key = `logs/users/${cards.second.runId}/00000-0001.jsonl`
    const before = await putText(bucket, key, 'edited')
    const edited = (await storyOf(ADA)).result.runs
    expect(edited.map((run) => 'problem' in run)).toEqual([false, false, true])
    expect((edited[2] as UnreadableHistory).problem).toContain(key)
    await removeObject(bucket, key)
    expect(((await storyOf(ADA)).result.runs[2] as UnreadableHistory).problem).toContain('missing')
    await putText(bucket, key, before)
  })
})

test('an e-mail address that no ledger and no log has is refused, without repeating it', async () => {
  await expect(storyOf('nobody@kilo.ai')).rejects.toThrow('No user has this e-mail address')
  await expect(storyOf('nobody@kilo.ai')).rejects.not.toThrow('nobody')
})
