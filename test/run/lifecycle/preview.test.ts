import { expect, test } from 'vitest'
import { eventSchema } from '../../../lambda/event.ts'
import { withTools } from '../../../lambda/host.ts'
import { preview } from '../../../lambda/run/lifecycle/opening/preview.ts'
import { startProxy } from '../../faults/proxy.ts'
import { keys } from '../../support/bucket.ts'
import { hostIn, lambdaContext } from '../../support/job.ts'
import { bucket, EVENT, place, state, team, useSixUsers } from '../../support/places/six-users.ts'

useSixUsers()

test('the count before writing counts each user once, also when the end of the read was lost and all was read again', async () => {
  let reads = 0
  const proxy = await startProxy(team.url, ({ what, previous }) => {
    const endsRead = what === 'database: commit' && previous === 'match users'
    return endsRead && ++reads === 1 ? 'lose' : 'pass'
  })
  const before = await state()
  const counted: [number, number][] = []
  try {
    const { host } = hostIn({ ...place, databaseUrl: proxy.url })
    const request = eventSchema.parse(EVENT)
    if (request.kind !== 'run') throw new Error('The payload opens no run.')
    const { card } = await withTools(host, lambdaContext({}), async (tools) =>
      preview(request, { ...tools, pause: async () => {} }, (...users) => void counted.push(users)),
    )
    expect(card.totals).toMatchObject({ usersMatched: 6, usersProcessed: 6, expired: '$60.00' })
  } finally {
    await proxy.stop()
  }
  expect(reads).toBe(2)
  expect(counted).toEqual([
    [2, 6],
    [4, 6],
    [6, 6],
  ])
  expect(await state()).toEqual(before)
  expect(await keys(bucket)).toEqual([])
})
