import { describe, expect, test } from 'vitest'
import type { S3Request } from '../../../bin/sandbox/s3.ts'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { auditRun } from '../../support/audit-run.ts'
import { dieAt, isUsersPart, revive } from '../../support/between.ts'
import { keys, putText, remove } from '../../support/bucket.ts'
import { setClock } from '../../support/clock.ts'
import { failureOf, invokeJob } from '../../support/job.ts'
import { insertTransaction } from '../../support/ledger.ts'
import { openRunId, readDocument } from '../../support/logs.ts'
import { bucket, EVENT, invoke, place, state, team, useSixUsers } from '../../support/places/six-users.ts'
import { timeForPages } from '../../support/stops.ts'
import { LATER } from '../../support/places/team.ts'

const KEY = 'arn:aws:scheduler:k-1'

useSixUsers()

const failed = async (event: object): Promise<Error> => failureOf(invoke(event))
const isPut = ({ method, key }: S3Request, end: string) => method === 'PUT' && key.endsWith(end)
const runs = async () => (await keys(bucket, 'logs/runs/')).length

/** A grant in between, for a second run to find. */
async function grantAgain(): Promise<void> {
  await insertTransaction(team.sql, { kilo_user_id: 'user-1', created_at: '2026-02-01' })
  await team.sql`UPDATE kilocode_users SET total_microdollars_acquired = total_microdollars_acquired + 10000000 WHERE id = 'user-1'`
}

describe('requestKey', () => {
  test('the same key with other limits is another payload: refused, and nothing continues', async () => {
    const event = { ...EVENT, requestKey: KEY }
    const open = await invoke(event, timeForPages(1))
    const before = await state()
    expect(await failed({ ...event, limits: { users: 0 } })).toMatchObject({
      name: 'RunRefused',
      message: expect.stringContaining(`run ${open.runId} was opened with this key and another payload`),
    })
    expect(await state()).toEqual(before)
  })

  test.each([{}, { execute: true }])(
    '%j: a duplicate gets the card, and changes nothing, however late and whatever came since',
    async (mode) => {
      const event = { ...EVENT, execute: undefined, ...mode, requestKey: KEY }
      const card = await invoke(event)
      expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 6 } })
      const folder = card.mode === 'execute' ? 'requests' : 'requests/dry-run'
      expect(await readDocument(bucket, `control/${folder}/${KEY}.json`)).toEqual({ runId: card.runId })
      await setClock(team.sql, '2027-06-01T00:00:00Z')
      if (card.mode === 'execute') await invoke({ rollback: card.runId, execute: true })
      await grantAgain()
      const before = await state()
      const ended = await invoke({ status: card.runId })
      expect(ended).toMatchObject({ runId: card.runId, status: 'complete', totals: card.totals })
      expect(await invoke(event)).toEqual(ended)
      expect(await invoke({ ...event, reason: 'other fields do not count', batchSize: 9 })).toEqual(ended)
      expect(await state()).toEqual(before)
    },
  )

  test('after 90 days, when the intents have expired: the card, and the rollback still works', async () => {
    const before = await state()
    const card = await invoke({ ...EVENT, requestKey: KEY })
    for (const key of await keys(bucket, 'intents/')) await remove(bucket, key)
    for (const event of [
      { ...EVENT, requestKey: KEY },
      { resume: card.runId },
      { status: card.runId },
      { status: 'latest' },
      { cancel: card.runId },
    ]) {
      expect(await invoke(event)).toEqual(card)
    }
    for (const execute of [false, true]) {
      expect(await invoke({ rollback: card.runId, execute })).toMatchObject({
        status: 'complete',
        totals: { usersProcessed: 6 },
      })
    }
    expect(await state()).toEqual(before)
  })

  test('the same key with another payload is refused, with the run that has it', async () => {
    const { runId } = await invoke({ ...EVENT, requestKey: KEY })
    for (const other of [
      { execute: true, userIds: ['user-1'] },
      { execute: true, domains: ['kilo.ai'] },
      { rollback: runId, execute: true },
    ]) {
      expect(await failed({ ...other, requestKey: KEY })).toMatchObject({
        name: 'RunRefused',
        message: expect.stringContaining(`run ${runId} was opened with this key and another payload`),
      })
    }
  })

  test.each(['kilo.ai', 'kilo.ai,kilocode.ai,example.com'])(
    'the same payload is the same payload, also after the configured domains became %s',
    async (domains) => {
      const event = { ...EVENT, domains: ['kilocode.ai', 'kilo.ai'], requestKey: KEY }
      const card = await invoke(event)
      const bare = await invoke({ ...EVENT, requestKey: 'bare' })
      const changed = { ...place, env: { ...place.env, INTERNAL_DOMAINS: domains } }
      expect(await invokeJob(changed, event)).toEqual(card)
      expect(await invokeJob(changed, { ...EVENT, requestKey: 'bare' })).toEqual(bare)
    },
  )

  test.each(['nobody', 'user-6'])(
    'a payload with an e-mail address that is by now the one of %s continues its run, which has the ids',
    async (newOwner) => {
      const event = { ...EVENT, userIds: ['user-1@kilo.ai', 'user-2', 'user-3'], requestKey: KEY }
      const rename = async (id: string, email: string) =>
        team.sql`UPDATE kilocode_users SET google_user_email = ${email} WHERE id = ${id}`
      await rename('user-1', 'user-1@kilo.ai')
      const open = await invoke(event, timeForPages(1))
      await rename('user-1', 'another@kilo.ai')
      await rename(newOwner, 'user-1@kilo.ai')
      expect(await invoke(event)).toMatchObject({
        runId: open.runId,
        status: 'complete',
        totals: { usersProcessed: 3 },
        asked: { payload: { userIds: ['user-1', 'user-2', 'user-3'] } },
      })
      await auditRun(bucket, open.runId, team.sql)
    },
  )

  test.each([{}, { execute: true }])('%j: two deliveries at once are one run', async (mode) => {
    const event = { ...EVENT, execute: undefined, ...mode, requestKey: KEY }
    const cards = await Promise.all([invoke(event), invoke(event), invoke(event)])
    expect(new Set(cards.map(({ runId }) => runId)).size).toBe(1)
    expect(await runs()).toBe(1)
  })

  test('of two dry runs with one key, the one that is not the run was never opened, and stays so', async () => {
    const both = Promise.withResolvers<void>()
    let marks = 0
    team.s3.setHooks(bucket.bucket, {
      before: async (request) => {
        if (!isPut(request, `requests/dry-run/${KEY}.json`)) return
        if (++marks === 2) both.resolve()
        await both.promise
      },
    })
    await Promise.all([invoke({ requestKey: KEY }), invoke({ requestKey: KEY })])
    const { runId } = await readDocument(bucket, `control/requests/dry-run/${KEY}.json`)
    const ids = new Set((await keys(bucket, 'runs/')).map((key) => key.split('/')[1]))
    const other = [...ids].find((id) => id !== runId)
    expect(ids.size).toBe(2)
    expect(await invoke({ status: other })).toMatchObject({
      status: 'refused',
      why: expect.stringContaining('never opened'),
    })
    expect(await failed({ resume: other })).toMatchObject({ name: 'RunRefused' })
    expect(await invoke({ requestKey: KEY })).toMatchObject({ runId, status: 'complete' })
  })

  test.each(['before its mark', 'after its mark'])(
    'a dry run that was cut off %s: the next delivery completes it or another one, and none stays open',
    async (when) => {
      const isAfter = when === 'after its mark'
      let isMarked = false
      dieAt(team.s3, bucket, (request) => {
        const isMark = isPut(request, `requests/dry-run/${KEY}.json`)
        const dies = isAfter ? isMarked : isMark
        isMarked ||= isMark
        return dies
      })
      await failed({ requestKey: KEY })
      revive(team.s3, bucket)
      await setClock(team.sql, LATER)
      const card = await invoke({ requestKey: KEY })
      expect(card).toMatchObject({ status: 'complete', totals: { usersMatched: 6 } })
      const cursors = (await keys(bucket, 'runs/')).filter((key) => key.endsWith('/cursor.json'))
      const states = await Promise.all(cursors.map(async (key) => (await readDocument(bucket, key)).state))
      expect(new Set(states)).toEqual(new Set(isAfter ? ['closed'] : ['closed', 'prepared']))
    },
  )

  test.each([1, 2, 3, 4, 5, 6, 7, 8])(
    'a delivery that is overtaken by a whole run before its %i. request finds that run',
    async (request) => {
      await setClock(team.sql, LATER)
      const overtaking: ExitCard[] = []
      let before: unknown
      team.s3.setHooks(bucket.bucket, {
        before: async ({ number }) => {
          if (number !== request || overtaking.length > 0) return
          revive(team.s3, bucket)
          overtaking.push(await invoke({ ...EVENT, requestKey: KEY }))
          await grantAgain()
          before = await state()
        },
      })
      const card = await invoke({ ...EVENT, requestKey: KEY })
      expect([card]).toEqual(overtaking)
      expect(await state()).toEqual(before)
      expect(await runs()).toBe(1)
    },
  )

  test('a run whose key turns out to be the key of another run does nothing, and its plan stays free', async () => {
    const owner = await invoke({ ...EVENT, userIds: ['user-1'] })
    const dryRun = await invoke({ batchSize: 2 })
    let isMarked = false
    team.s3.setHooks(bucket.bucket, {
      before: async (request) => {
        if (isMarked || !isPut(request, `requests/${KEY}.json`)) return
        isMarked = true
        await putText(bucket, `control/requests/${KEY}.json`, JSON.stringify({ runId: owner.runId }))
      },
    })
    expect(await invoke({ execute: true, plan: dryRun.runId, requestKey: KEY })).toEqual(owner)
    expect(await invoke({ execute: true, plan: dryRun.runId })).toMatchObject({
      status: 'complete',
      totals: { usersProcessed: 5 },
    })
  })

  test('a run that was cut off between its opening and its mark still gets the mark, whatever continues it', async () => {
    for (const [key, next] of [
      ['a', 'same'],
      ['b', 'resume'],
      ['c', 'cancel'],
    ] as const) {
      dieAt(team.s3, bucket, (request) => isPut(request, `requests/${key}.json`))
      expect(await failed({ ...EVENT, requestKey: key })).toMatchObject({ name: 'ArchiveUnavailable' })
      revive(team.s3, bucket)
      const { runId } = await readDocument(bucket, 'control/writer.json')
      expect((await keys(bucket, 'control/requests/')).some((mark) => mark.endsWith(`${key}.json`))).toBe(
        false,
      )
      await setClock(team.sql, new Date(Date.parse(LATER) + key.charCodeAt(0) * 3_600_000).toISOString())
      const card = await invoke(next === 'same' ? { ...EVENT, requestKey: key } : { [next]: runId })
      expect(card).toMatchObject({ runId, status: next === 'cancel' ? 'cancelled' : 'complete' })
      await grantAgain()
      expect(await invoke({ ...EVENT, requestKey: key })).toEqual(card)
    }
  })
})

test.each([{ userIds: ['user-1@kilo.ai', 'user-2', 'user-3'] }, { exceptUserIds: ['user-1@kilo.ai'] }])(
  'without a key too the payload %j continues its open run after the address became that of another user',
  async (who) => {
    const event = { ...EVENT, ...who }
    const open = await invoke(event, timeForPages(1))
    const rename = async (id: string, email: string) =>
      team.sql`UPDATE kilocode_users SET google_user_email = ${email} WHERE id = ${id}`
    await rename('user-1', 'another@kilo.ai')
    await rename('user-6', 'user-1@kilo.ai')
    const card = await invoke(event)
    expect(card).toMatchObject({ runId: open.runId, status: 'complete' })
    const { users } = await auditRun(bucket, card.runId, team.sql)
    const expired = users.filter(({ outcome }) => outcome === 'expired').map(({ user_id }) => user_id)
    const isNamed = 'userIds' in who
    expect(expired).toEqual(
      isNamed ? ['user-1', 'user-2', 'user-3'] : ['user-2', 'user-3', 'user-4', 'user-5', 'user-6'],
    )
  },
)

describe('restart', () => {
  test('closes the named run and opens a new one; a duplicate does not close the new one', async () => {
    const old = await invoke(EVENT, timeForPages(1))
    const event = { ...EVENT, restart: old.runId }
    const anew = await invoke(event, timeForPages(1))
    expect(anew).toMatchObject({ status: 'incomplete', totals: { usersMatched: 6 } })
    expect(anew.runId).not.toBe(old.runId)
    expect(await invoke({ status: old.runId })).toMatchObject({
      status: 'cancelled',
      totals: { usersProcessed: 2, usersNotReached: 4 },
    })
    const duplicate = await invoke(event)
    expect(duplicate).toMatchObject({ runId: anew.runId, status: 'complete', totals: { usersProcessed: 4 } })
    expect(await runs()).toBe(2)
  })

  test('with another payload than the open run had; and where yet another run is open, it is refused', async () => {
    const old = await invoke(EVENT, timeForPages(1))
    const anew = await invoke(
      { ...EVENT, batchSize: 1, userIds: ['user-5', 'user-6'], restart: old.runId },
      timeForPages(1),
    )
    const refused = await failed({ execute: true, userIds: ['user-1'], restart: old.runId })
    expect(refused).toMatchObject({
      name: 'RunRefused',
      message: expect.stringContaining(`Run ${anew.runId} is open`),
    })
    expect(await invoke({ status: anew.runId })).toMatchObject({ status: 'incomplete' })
  })

  test.each([{}, { userIds: ['user-6'] }])(
    'where the old run cannot be closed in time, no run is opened, and the same payload continues (%j)',
    async (fields) => {
      dieAt(team.s3, bucket, isUsersPart)
      await failed(EVENT)
      revive(team.s3, bucket)
      const runId = await openRunId(bucket)
      const event = { ...EVENT, ...fields, restart: runId }
      const card = await invoke(event, { timeLeft: () => 14_000 })
      expect(card).toMatchObject({ runId, status: 'busy', next: { payload: event } })
      await setClock(team.sql, LATER)
      const done = await invoke(card.next?.payload ?? {})
      expect(done).toMatchObject({
        status: 'complete',
        totals: { usersProcessed: 'userIds' in fields ? 1 : 4 },
      })
      expect(done.runId).not.toBe(runId)
      await auditRun(bucket, runId, team.sql)
      await auditRun(bucket, done.runId, team.sql)
    },
  )

  test.each<[string, object]>([
    ['a domain that is not configured', { domains: ['unknown.com'] }],
    ['a limit above the configured one', { limits: { users: 1_000_000 } }],
    ['a plan that does not exist', { plan: '2026-01-01T00-00-00-000Z-dry-run-aaaa' }],
  ])('a request that cannot be granted closes nothing: %s', async (_, fields) => {
    const open = await invoke(EVENT, timeForPages(1))
    expect(await failed({ execute: true, ...fields, restart: open.runId })).toBeInstanceOf(Error)
    expect(await invoke({ status: open.runId })).toMatchObject({ status: 'incomplete' })
  })

  test('a refusal that only the ledger can give also says which run was closed', async () => {
    const open = await invoke(EVENT, timeForPages(1))
    const refused = await failed({ execute: true, limits: { users: 0 }, restart: open.runId })
    expect(refused).toMatchObject({
      name: 'RunRefused',
      message: expect.stringContaining(`Run ${open.runId} was closed before that, as "restart" requested`),
    })
  })

  test('a dry run is not restarted: the payload probably meant "plan"', async () => {
    const { runId } = await invoke({})
    const before = await state()
    expect(await failed({ execute: true, restart: runId })).toMatchObject({
      name: 'RunRefused',
      message: expect.stringContaining('"plan"'),
    })
    expect(await state()).toEqual(before)
  })

  test('a run that executes a plan cannot be restarted with that plan, and is not closed for it', async () => {
    const plan = await invoke({ batchSize: 2, concurrency: 1 })
    const bound = { execute: true, plan: plan.runId, concurrency: 1 }
    const open = await invoke(bound, timeForPages(1))
    expect(await failed({ ...bound, restart: open.runId })).toMatchObject({
      name: 'RunRefused',
      message: expect.stringContaining('a plan is executed once'),
    })
    expect(await invoke({ status: open.runId })).toMatchObject({ status: 'incomplete' })
  })
})

test('resume continues a run of every mode, and returns the card of a closed one', async () => {
  const before = await state()
  const runIds: string[] = []
  const pagewise = async (event: object): Promise<ExitCard> => {
    let card = await invoke({ ...event, concurrency: 1 }, timeForPages(1))
    for (let pages = 2; card.status === 'incomplete'; pages++) {
      expect(card).toMatchObject({
        progress: { usersDone: (pages - 1) * 2 },
        next: { payload: { resume: card.runId } },
      })
      card = await invoke({ resume: card.runId }, pages < 3 ? timeForPages(1) : undefined)
    }
    expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 6, usersMatched: 6 } })
    expect(await invoke({ resume: card.runId })).toEqual(card)
    runIds.push(card.runId)
    return card
  }
  await pagewise({ batchSize: 2 })
  const { runId } = await pagewise({ execute: true, batchSize: 2 })
  await pagewise({ rollback: runId })
  await pagewise({ rollback: runId, execute: true })
  expect(await state()).toEqual(before)
  expect(new Set(runIds).size).toBe(4)
})

test('the payload that each card names next is taken: from the dry run over the plan to its rollback', async () => {
  const before = await state()
  const cards: ExitCard[] = [await invoke({ userIds: ['user-1', 'user-2', 'user-3'] })]
  for (let next = cards[0]?.next; next; next = cards.at(-1)?.next) cards.push(await invoke(next.payload))
  expect(cards.map(({ mode, status }) => `${mode} ${status}`)).toEqual([
    'dry-run complete',
    'execute complete',
    'rollback-dry-run complete',
    'rollback complete',
  ])
  expect(cards.map(({ totals }) => totals.usersProcessed)).toEqual([3, 3, 3, 3])
  expect(await state()).toEqual(before)
})
