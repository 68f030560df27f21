import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { auditRun } from '../../support/audit-run.ts'
import { invokeJob, type JobPlace } from '../../support/job.ts'
import { dump } from '../../support/ledger.ts'
import { readDocument } from '../../support/logs.ts'
import { freshTeam, type Team } from '../../support/places/team.ts'

let team: Team
let place: JobPlace

beforeEach(async () => {
  team = await freshTeam(3)
  place = { databaseUrl: team.url, bucket: team.bucket, env: { MIN_GRANT_AGE_SECONDS: '0' } }
})
afterEach(() => team.drop())

const invoke = (event: object) => invokeJob(place, event)

describe('a rollback stops where an execute would', () => {
  /** Refuses to let rows of these users be deleted. */
  const refuse = (ids: string) =>
    team.sql.unsafe(`
      CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not %', old.kilo_user_id; END $$;
      DROP TRIGGER IF EXISTS refuse ON credit_transactions;
      CREATE TRIGGER refuse BEFORE DELETE ON credit_transactions FOR EACH ROW WHEN (old.kilo_user_id = ANY ('{${ids}}')) EXECUTE FUNCTION refuse();`)

  test('at too many failures; once they are fixed, another rollback takes the rest', async () => {
    const before = await dump(team.sql, { updatedAt: false })
    const { runId } = await invoke({ execute: true, batchSize: 1 })
    await refuse('user-2')
    place = { ...place, env: { ...place.env, MAX_FAILED_USERS: '0', MAX_FAILED_PERCENT: '0' } }
    const stopped = await invoke({ rollback: runId, execute: true, concurrency: 1 })
    expect(stopped).toMatchObject({
      status: 'stopped',
      why: expect.stringContaining('1 of 2 users failed'),
      totals: { usersProcessed: 1, usersFailed: 1, usersNotReached: 1 },
      next: { payload: { rollback: runId, execute: true } },
    })
    expect((await auditRun(team.bucket, stopped.runId)).errors).toMatchObject([
      {
        user_id: 'user-2',
        stage: 'apply',
        sqlstate: 'P0001',
        message: expect.stringContaining('not user-2'),
      },
    ])
    expect(await readDocument(team.bucket, 'control/writer.json')).toMatchObject({ runId: null })
    await refuse('nobody')
    expect(await invoke(stopped.next?.payload ?? {})).toMatchObject({
      status: 'complete',
      totals: { usersProcessed: 2, outcomes: { already_rolled_back: 1, rolled_back: 2 } },
    })
    expect(await dump(team.sql, { updatedAt: false })).toEqual(before)
  })

  test('a failed user alone does not stop it', async () => {
    const { runId } = await invoke({ execute: true })
    await refuse('user-2')
    expect(await invoke({ rollback: runId, execute: true })).toMatchObject({
      status: 'complete_with_errors',
      totals: { usersProcessed: 2, usersFailed: 1 },
    })
    expect((await dump(team.sql)).users.map((user) => user.total_microdollars_acquired)).toEqual([
      '10000000',
      '0',
      '10000000',
    ])
  })
})
