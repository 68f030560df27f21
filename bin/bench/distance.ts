import type { Options } from './compare.ts'
import { type Figure, median } from './figures.ts'
import { BENCH } from './ledger.ts'
import { startBench } from './servers.ts'

/**
 * The job with 1 ms added to every database round trip and 15 ms to every S3 request, against the job
 * without, both through proxies.
 */
export async function distance({ rounds, event, say }: Options): Promise<Figure[]> {
  const bench = await startBench(BENCH)
  const seconds: { near: number; far: number }[] = []
  try {
    for (let number = 1; number <= rounds; number++) {
      const measure = async (databaseMs: number, s3Ms: number): Promise<number> =>
        bench.onCopy(
          async ({ job }) => (await job({ ...event, execute: true }, { databaseMs, s3Ms })).seconds,
        )
      const round = { near: await measure(0, 0), far: await measure(1, 15) }
      seconds.push(round)
      say(`round ${number}: near ${round.near.toFixed(2)} s, far ${round.far.toFixed(2)} s`)
    }
  } finally {
    await bench.stop()
  }
  return [
    { name: 'near, s', value: median(seconds.map(({ near }) => near)) },
    { name: 'far, s', value: median(seconds.map(({ far }) => far)) },
    {
      name: 'growth of the time, %',
      value: (median(seconds.map(({ near, far }) => far / near)) - 1) * 100,
      atMost: 20,
    },
  ]
}
