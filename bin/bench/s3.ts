import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import * as z from 'zod'

/** The requests of one run by phase, the bytes sent, and the server's CPU time. */
const tallySchema = z.object({
  opening: z.int(),
  pages: z.int(),
  closing: z.int(),
  bytes: z.int(),
  cpuSeconds: z.number(),
})

/**
 * An S3 server in a process of its own, with one bucket. `tally` returns what it has received since the last
 * call, and empties it.
 */
export type BenchS3 = {
  readonly port: number
  tally(): Promise<z.infer<typeof tallySchema>>
  stop(): Promise<void>
}

/** Starts it; it ends with this process at the latest. */
export async function startBenchS3(): Promise<BenchS3> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 's3-server.ts'), 'bench'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const nextLine = async () => String((await lines.next()).value)
  return {
    port: Number(await nextLine()),
    async tally() {
      child.stdin.write('\n')
      return tallySchema.parse(JSON.parse(await nextLine()))
    },
    async stop() {
      child.stdin.end()
      await once(child, 'exit')
    },
  }
}
