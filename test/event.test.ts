import { describe, expect, test } from 'vitest'
import { invokeJob } from './support/job.ts'

/** A place that nobody can reach: who gets as far as working fails in another way than by InvalidEvent. */
const NOWHERE = {
  databaseUrl: 'postgres://nobody@127.0.0.1:1/nowhere',
  bucket: { endpoint: 'http://127.0.0.1:1', bucket: 'nowhere' },
  env: { AWS_MAX_ATTEMPTS: '1' },
}
const RUN = '2026-11-22T06-12-30-123Z-execute-k3j9'
const DRY = '2026-11-22T06-12-30-123Z-dry-run-k3j9'

async function refusal(event: unknown): Promise<{ name: string; message: string }> {
  return invokeJob(NOWHERE, event).then(
    () => ({ name: 'no refusal', message: '' }),
    (error: unknown) =>
      error instanceof Error
        ? { name: error.name, message: error.message }
        : { name: 'unknown', message: String(error) },
  )
}

const wrongFields: [unknown, string][] = [
  [{ execute: 'true' }, 'field "execute": must be the boolean true or false'],
  [{ execute: 1 }, 'field "execute": must be the boolean'],
  [{ execute: null }, 'field "execute": must be the boolean'],
  [{ execute: 'false' }, 'field "execute"'],
  [{ domains: 'kilo.ai' }, 'field "domains"'],
  [{ domains: [] }, 'field "domains"'],
  [{ domains: [''] }, 'field "domains.0"'],
  [{ userIds: [] }, 'field "userIds"'],
  [{ userIds: 'ada' }, 'field "userIds"'],
  [{ userIds: [1] }, 'field "userIds.0"'],
  [{ userIds: [''] }, 'field "userIds.0"'],
  [{ userIds: Array.from({ length: 1001 }, (_, n) => `user-${n}`) }, 'field "userIds"'],
  [{ batchSize: 0 }, 'field "batchSize"'],
  [{ batchSize: 2001 }, 'field "batchSize"'],
  [{ batchSize: 1.5 }, 'field "batchSize"'],
  [{ batchSize: '10' }, 'field "batchSize"'],
  [{ concurrency: 0 }, 'field "concurrency"'],
  [{ concurrency: 17 }, 'field "concurrency"'],
  [{ limits: { users: -1 } }, 'field "limits.users"'],
  [{ limits: { users: 1.5 } }, 'field "limits.users"'],
  [{ limits: { usd: '5' } }, 'field "limits.usd"'],
  [{ limits: { usd: null } }, 'field "limits.usd"'],
  [{ limits: { user: 5 } }, 'unknown field "limits.user"'],
  [{ limits: 5 }, 'field "limits"'],
  [{ reason: '' }, 'field "reason"'],
  [{ reason: '  ' }, 'field "reason"'],
  [{ requestKey: 'a/b' }, 'field "requestKey"'],
  [{ requestKey: '../x' }, 'field "requestKey"'],
  [{ status: 'newest' }, 'field "status": must be "latest" or a run id'],
  [{ resume: 'x' }, 'field "resume": must be a run id like'],
  [{ resume: `${RUN}/../${RUN}` }, 'field "resume": must be a run id like'],
  [{ rollback: true }, 'field "rollback"'],
  [{ cancel: 'latest' }, 'field "cancel"'],
]

const unknownFields: [unknown, string][] = [
  [{ excute: true }, 'unknown field "excute", did you mean "execute"?'],
  [{ Execute: true }, 'unknown field "Execute", did you mean "execute"?'],
  [{ userids: ['a'] }, 'unknown field "userids", did you mean "userIds"?'],
  [{ batch_size: 5 }, 'unknown field "batch_size", did you mean "batchSize"?'],
  [{ dryRun: true }, 'unknown field "dryRun"'],
  [{ execute: true, force: true }, 'unknown field "force"'],
  [JSON.parse('{"__proto__": {"execute": true}}'), '__proto__'],
]

const wrongTogether: [unknown, string][] = [
  [{ plan: DRY }, 'field "plan": needs "execute": true beside it'],
  [{ execute: false, plan: DRY }, 'field "plan": needs "execute": true beside it'],
  [{ execute: true, plan: DRY, domains: ['kilo.ai'] }, 'field "domains": does not go together with "plan"'],
  [{ execute: true, plan: DRY, userIds: ['a'] }, 'field "userIds": does not go together with "plan"'],
  [{ execute: true, resume: RUN }, 'field "execute": does not go together with "resume"'],
  [{ resume: RUN, batchSize: 5 }, 'field "batchSize": does not go together with "resume"'],
  [{ resume: RUN, cancel: RUN }, 'field "cancel": does not go together with "resume"'],
  [{ status: 'latest', execute: true }, 'field "execute": does not go together with "status"'],
  [{ cancel: RUN, execute: true }, 'field "execute": does not go together with "cancel"'],
  [{ rollback: RUN, limits: { users: 5 } }, 'field "limits": does not go together with "rollback"'],
  [{ rollback: RUN, domains: ['kilo.ai'] }, 'field "domains": does not go together with "rollback"'],
  [{ rollback: RUN, execute: true, plan: DRY }, 'field "plan": does not go together with "rollback"'],
  [{ restart: RUN }, 'field "restart": needs "execute": true beside it'],
]

const noObjects: [unknown, string][] = [
  [[], 'the event'],
  [5, 'the event'],
  [true, 'the event'],
  ['execute', 'the event'],
  ['[{"execute":true}]', 'the event'],
]

const enveloped: [unknown, string][] = [
  [{ source: 'x', 'detail-type': 'y', detail: { excute: true } }, 'did you mean "execute"?'],
  [{ source: 'x', 'detail-type': 'y', detail: '{"execute":"true"}' }, 'field "execute"'],
  [{ source: 'x', 'detail-type': 'y', detail: 'execute' }, 'the event'],
  [{ source: 'x', 'detail-type': 'y', detail: [] }, 'the event'],
  [{ source: 'x', detail: {} }, 'unknown field "source"'],
]

describe('is refused, naming the field, with nothing done', () => {
  test.each([...wrongFields, ...unknownFields, ...wrongTogether, ...noObjects, ...enveloped])(
    '%j',
    async (event, message) => {
      const { name, message: said } = await refusal(event)
      expect(name).toBe('InvalidEvent')
      expect(said).toContain(message)
      expect(said).toContain('Nothing was done.')
      expect(said).toMatch(/valid payload/i)
    },
  )
})

test('every fault of an event is named at once', async () => {
  const { message } = await refusal({ excute: true, batchSize: 0, limits: { usd: -1 } })
  for (const field of ['"excute"', '"batchSize"', '"limits.usd"']) expect(message).toContain(field)
})

test('an id that PostgreSQL cannot hold is a fault of the event', async () => {
  for (const userId of ['a\u0000b', 'a\ud800b'])
    expect(await refusal({ execute: true, userIds: [userId] })).toMatchObject({ name: 'InvalidEvent' })
})

test('what looks like an envelope and carries fields beside it is not guessed at', async () => {
  expect(await refusal({ source: 'x', 'detail-type': 'y', execute: true })).toMatchObject({
    name: 'InvalidEvent',
  })
})
