import { startS3 } from '../sandbox/s3.ts'

/** The S3 server in a process of its own, in memory. Prints its port, and on a line of input how many requests it has had. */
const bucket = process.argv[2] ?? 'bench'
const server = await startS3({ buckets: [bucket] })
process.stdout.write(`${server.port}\n`)
process.stdin.on('data', () => {
  process.stdout.write(`${server.requestCount(bucket)}\n`)
})
process.stdin.on('end', () => process.exit(0))
