import { performance } from 'node:perf_hooks'
import { readUsers } from '../../lambda/ledger/read.ts'
import type { Options } from './compare.ts'
import { asTransaction, planReading } from './contenders.ts'
import type { Figure } from './figures.ts'
import { startBench } from './servers.ts'

const ROWS = 62_500

/**
 * One internal user with 50,000 open free grants, a page alone: how long the plan takes, and the whole job.
 */
export async function giant({ event, say }: Options): Promise<Figure[]> {
  const bench = await startBench({ users: 2, internal: 1, transactionsEach: ROWS, othersEach: 1 })
  try {
    return await bench.onCopy(async ({ sql, job }) => {
      const instant = new Date().toISOString()
      const ids = (await sql<{ id: string }[]>`select id from kilocode_users`).map(({ id }) => id)
      const readings = [...(await readUsers(asTransaction(sql), ids)).values()]
      const begun = performance.now()
      const plans = readings.flatMap((reading) => planReading(reading, instant) ?? [])
      const seconds = (performance.now() - begun) / 1000
      const grants = Math.max(...plans.map(({ grantsTargeted }) => grantsTargeted))
      const result = await job({ ...event, execute: true })
      say(`one user with ${grants} grants: planned in ${seconds.toFixed(2)} s`)
      return [
        { name: `one user with ${grants} open grants: planned, s`, value: seconds, atMost: 1 },
        { name: 'the same: the whole execute, s', value: result.seconds, atMost: 5 },
        { name: 'the same: peak memory, MB', value: result.peakBytes / 1e6 },
      ]
    })
  } finally {
    await bench.stop()
  }
}
