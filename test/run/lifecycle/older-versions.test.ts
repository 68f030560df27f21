import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { auditRun } from '../../support/audit-run.ts'
import { isCursorWrite } from '../../support/between.ts'
import { keys, putText, readText, remove } from '../../support/bucket.ts'
import { setClock } from '../../support/clock.ts'
import { failureOf, invokeJob, type InvocationOptions, type JobPlace } from '../../support/job.ts'
import { dump } from '../../support/ledger.ts'
import { openRunId } from '../../support/logs.ts'
import { timeForPages } from '../../support/stops.ts'
import { freshTeam, LATER, type Team } from '../../support/places/team.ts'

/** An older version of an object is restored: nothing is lost over it, and the message says which one. */

const EVENT = { execute: true, batchSize: 2, concurrency: 1 }
const WRITER = 'control/writer.json'

let team: Team
let bucket: Team['bucket']
let place: JobPlace
/** Every version of the cursors that were stored, in order. */
let versions: string[]

/** Ten users on five pages. */
beforeEach(async () => {
  team = await freshTeam(10)
  bucket = team.bucket
  place = { databaseUrl: team.url, bucket, env: { MIN_GRANT_AGE_SECONDS: '0' } }
  versions = []
  team.s3.setHooks(bucket.bucket, {
    after: async (request) => {
      if (isCursorWrite(request)) versions.push(await readText(bucket, request.key))
    },
  })
})
afterEach(() => team.drop())

const invoke = (event: object, options?: InvocationOptions) => invokeJob(place, event, options)
const cursorOf = (runId: string) => `runs/${runId}/cursor.json`
const errorOf = async (event: object): Promise<string> => {
  const { name, message } = await failureOf(invoke(event))
  return `${name}: ${message}`
}

/** The first version of the cursor that names so many pages. */
function versionWith(pages: number, state = 'open'): string {
  const isIt = (text: string): boolean => {
    const cursor = JSON.parse(text) as { pages: unknown[]; state: string }
    return cursor.pages.length === pages && cursor.state === state
  }
  return versions.find(isIt) ?? ''
}

describe('the cursor of an open run', () => {
  test('that names fewer pages than were begun is refused; with the latest version nothing is lost', async () => {
    const { runId } = await invoke(EVENT, timeForPages(4))
    const latest = await readText(bucket, cursorOf(runId))
    await putText(bucket, cursorOf(runId), versionWith(2))
    await setClock(team.sql, LATER)
    const before = await dump(team.sql)
    for (const event of [{ resume: runId }, { cancel: runId }, EVENT]) {
      expect(await errorOf(event)).toMatch(
        new RegExp(
          `ArchiveCorrupt: ${cursorOf(runId)} is an older version: it names 2 of 5 pages, and ` +
            `intents/${runId}/00003-`,
        ),
      )
    }
    expect(await dump(team.sql)).toEqual(before)
    expect(await readText(bucket, cursorOf(runId))).toBe(versionWith(2))

    await remove(bucket, `runs/${runId}/cancel.json`)
    await putText(bucket, cursorOf(runId), latest)
    expect(await invoke({ resume: runId })).toMatchObject({
      status: 'complete',
      totals: { usersProcessed: 10 },
    })
    await auditRun(bucket, runId, team.sql)
  })

  test('that lacks only pages which may have been in flight is continued, and settling finds the rest', async () => {
    const { runId } = await invoke(EVENT, timeForPages(4))
    await putText(bucket, cursorOf(runId), versionWith(3))
    await setClock(team.sql, LATER)
    expect(await invoke({ resume: runId })).toMatchObject({
      status: 'complete',
      totals: { usersProcessed: 10 },
    })
    await auditRun(bucket, runId, team.sql)
  })

  test('whose latest version is lost for good: the run can be abandoned, and another one opened', async () => {
    const { runId } = await invoke(EVENT, timeForPages(4))
    await putText(bucket, cursorOf(runId), versionWith(2))
    await setClock(team.sql, LATER)
    const card = await invoke({ abandon: runId, reason: 'the latest version is lost' })
    expect(card).toMatchObject({ status: 'abandoned', next: { payload: {} } })
    expect(await invoke({ status: runId })).toEqual(card)
    expect(await invoke(EVENT)).toMatchObject({ status: 'complete', totals: { usersProcessed: 2 } })
  })
})

describe.each<[string, number]>([
  ['prepared', 0],
  ['open', 2],
  ['closing', 5],
])('the cursor of a closed run, in an older version that is %s', (state, pages) => {
  test('never means that nothing was written, and keeps no other run out', async () => {
    const { runId } = await invoke(EVENT)
    const latest = await readText(bucket, cursorOf(runId))
    await putText(bucket, cursorOf(runId), versionWith(pages, state))
    for (const event of [{ status: runId }, { resume: runId }, { cancel: runId }, { rollback: runId }]) {
      expect(await errorOf(event)).toContain(`ArchiveCorrupt: ${cursorOf(runId)} is an older version`)
    }
    expect(await invoke(EVENT)).toMatchObject({ status: 'complete', totals: { usersProcessed: 0 } })
    await putText(bucket, cursorOf(runId), latest)
    expect(await invoke({ rollback: runId, execute: true })).toMatchObject({
      status: 'complete',
      totals: { usersProcessed: 10 },
    })
  })
})

test('a plan whose cursor is an older version is not executed', async () => {
  const { runId } = await invoke({ batchSize: 2, concurrency: 1 })
  await putText(bucket, cursorOf(runId), versionWith(2))
  const before = await dump(team.sql)
  expect(await errorOf({ execute: true, plan: runId })).toContain(
    `${cursorOf(runId)} is an older version: it names 2 of 5 pages, and its last card says complete`,
  )
  expect(await dump(team.sql)).toEqual(before)
})

describe.each(['restored to an older version', 'deleted'])('a writer.json that was %s', (what) => {
  test('does not let a second writing run open beside the open one; a check says so', async () => {
    await invoke({ execute: true, userIds: ['user-10'] })
    const free = await readText(bucket, WRITER)
    await setClock(team.sql, LATER)
    const { runId } = await invoke(EVENT, timeForPages(2))
    const good = await readText(bucket, WRITER)
    if (what === 'deleted') await remove(bucket, WRITER)
    else await putText(bucket, WRITER, free)

    const runs = await keys(bucket, 'runs/')
    for (const event of [EVENT, { execute: true, userIds: ['user-9'] }, { resume: runId }]) {
      expect(await errorOf(event)).toContain(
        `The cursor of run ${runId} is open, but ${WRITER} does not name the run`,
      )
    }
    expect(await keys(bucket, 'runs/')).toEqual(runs)
    expect(await invoke({ check: true })).toMatchObject({
      result: 'failed',
      checks: expect.arrayContaining([
        expect.objectContaining({ check: 'open run', ok: false, detail: expect.stringContaining(runId) }),
      ]),
    })

    await putText(bucket, WRITER, good)
    expect(await openRunId(bucket)).toBe(runId)
    expect(await invoke(EVENT)).toMatchObject({ runId, status: 'complete', totals: { usersProcessed: 9 } })
  })
})
