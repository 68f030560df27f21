import { createInterface } from 'node:readline'
import { startS3 } from '../sandbox/s3.ts'

/**
 * The S3 server in a process of its own, for one run after the other. Prints its port; then, for each empty
 * line of input, the requests since the last one by phase: opening the run, its pages (from the first page
 * that is read), or closing (from the first listing); the bytes sent to it; and the CPU time that took. It
 * forgets all objects then.
 */
const bucket = process.argv[2] ?? 'bench'
const server = await startS3({ buckets: [bucket] })
const none = { opening: 0, pages: 0, closing: 0, bytes: 0 }
let counts = { ...none }
let cpuBefore = process.cpuUsage()
let phase: 'opening' | 'pages' | 'closing' = 'opening'

server.setHooks(bucket, {
  before: ({ method, key, bytes }) => {
    if (method === 'GET' && /^runs\/[^/]+\/pages\//.test(key)) phase = 'pages'
    if (method === 'GET' && key === '') phase = 'closing'
    counts[phase] += 1
    counts.bytes += bytes
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
