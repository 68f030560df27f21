import { createInterface } from 'node:readline'
import { startS3 } from '../sandbox/s3.ts'

/**
 * The S3 server in a process of its own, in memory, for one run after the other. Prints its port; then, on an empty line
 * of input, how many requests it has had since the last, by what the job was at: opening the run, its pages (from the
 * first page list that is read), or closing (from the first segment that is read), and what CPU time that took. It
 * forgets all objects then.
 */
const bucket = process.argv[2] ?? 'bench'
const server = await startS3({ buckets: [bucket] })
const none = { opening: 0, pages: 0, closing: 0 }
let counts = { ...none }
let cpuBefore = process.cpuUsage()
let phase: keyof typeof none = 'opening'

server.setHooks(bucket, {
  before: ({ method, key }) => {
    if (method === 'GET' && /^state\/[^/]+\/pages\//.test(key)) phase = 'pages'
    if (method === 'GET' && key.startsWith('segments/')) phase = 'closing'
    counts[phase]++
  },
})
process.stdout.write(`${server.port}\n`)
for await (const _ of createInterface({ input: process.stdin })) {
  const { user, system } = process.cpuUsage(cpuBefore)
  process.stdout.write(`${JSON.stringify({ ...counts, cpuSeconds: (user + system) / 1e6 })}\n`)
  server.emptyBucket(bucket)
  counts = { ...none }
  phase = 'opening'
  cpuBefore = process.cpuUsage()
}
await server.stop()
