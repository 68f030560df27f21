import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { isUsersPart } from '../../support/between.ts'
import { invokeJob } from '../../support/job.ts'
import { readLogs } from '../../support/logs.ts'
import { freshTeam, type Team } from '../../support/places/team.ts'

let team: Team
beforeEach(async () => {
  team = await freshTeam(6)
})
afterEach(() => team.drop())

const invoke = async (event: object, env: Record<string, string> = {}): Promise<ExitCard> =>
  invokeJob({ databaseUrl: team.url, bucket: team.bucket, env }, event)

async function outcomesOf({ runId }: ExitCard): Promise<Record<string, string>> {
  const { users } = await readLogs(team.bucket, runId)
  return Object.fromEntries(users.map(({ user_id, outcome }) => [String(user_id), String(outcome)]))
}

const rename = async (id: string, email: string) =>
  team.sql`update kilocode_users set google_user_email = ${email} where id = ${id}`

describe('where the read-only database still gives an address to another user', () => {
  let replica: Team
  beforeEach(async () => {
    replica = await freshTeam(6)
    await rename('user-1', 'soon-2@kilo.ai')
    await rename('user-2', 'user-1@kilo.ai')
    await rename('user-1', 'user-2@kilo.ai')
  })
  afterEach(() => replica.drop())

  test('an execute expires the user whose address it is in the ledger that it writes to', async () => {
    const card = await invoke(
      { execute: true, userIds: ['user-1@kilo.ai'] },
      { READONLY_DATABASE_URL: replica.url },
    )
    expect(await outcomesOf(card)).toEqual({ 'user-2': 'expired' })
  })

  test('an execute leaves out the user whose address it is in the ledger that it writes to', async () => {
    const card = await invoke(
      { execute: true, userIds: ['user-1', 'user-2', 'user-3'], exceptUserIds: ['user-1@kilo.ai'] },
      { READONLY_DATABASE_URL: replica.url },
    )
    expect(await outcomesOf(card)).toEqual({ 'user-1': 'expired', 'user-2': 'excluded', 'user-3': 'expired' })
  })
})

test('a user excluded by e-mail address in EXCLUDED_USER_IDS stays excluded when the address changes during the run', async () => {
  let renamed = false
  team.s3.setHooks(team.bucket.bucket, {
    before: async (request) => {
      if (renamed || !isUsersPart(request)) return undefined
      renamed = true
      await rename('user-6', 'another@kilo.ai')
      return undefined
    },
  })
  const card = await invoke(
    { execute: true, batchSize: 2, concurrency: 1 },
    { EXCLUDED_USER_IDS: 'user-6@kilo.ai' },
  )
  expect(renamed).toBe(true)
  expect(card.warnings.filter((warning) => warning.includes('EXCLUDED_USER_IDS'))).toEqual([])
  expect(await outcomesOf(card)).toMatchObject({ 'user-5': 'expired', 'user-6': 'excluded' })
})

test("an id in EXCLUDED_USER_IDS that is nobody's is a warning", async () => {
  const { status, warnings } = await invoke({ execute: true }, { EXCLUDED_USER_IDS: 'user-6,nobody' })
  expect(status).toBe('complete')
  expect(warnings).toContainEqual('EXCLUDED_USER_IDS: entry 2 of 2 is the id of no user, and excludes nobody')
})

test('an e-mail address in EXCLUDED_USER_IDS that nobody has refuses an execute; its dry run says so', async () => {
  const env = { EXCLUDED_USER_IDS: 'user-6,nobody@kilo.ai' }
  const why = 'EXCLUDED_USER_IDS: entry 2 of 2 is an e-mail address that no user has (any more)'
  const { warnings } = await invoke({}, env)
  expect(warnings).toContainEqual(expect.stringContaining(`an execute would be refused: ${why}`))
  expect(warnings.join()).not.toContain('@kilo.ai')
  const dryRun = await invoke({}, env)
  for (const plan of [{}, { plan: dryRun.runId }]) {
    await expect(invoke({ execute: true, ...plan }, env)).rejects.toMatchObject({
      name: 'RunRefused',
      message: expect.stringContaining(why),
    })
  }
})
