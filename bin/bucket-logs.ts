import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { connectS3 } from '../lambda/archive/s3/client.ts'
import { list } from '../lambda/archive/s3/list.ts'
import { get } from '../lambda/archive/s3/objects.ts'
import type { Store } from '../lambda/archive/s3/store.ts'
import { PREFIXES } from '../lambda/constants.ts'

/** A signal ends the process without its `finally`: production logs must not stay in a temporary folder. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Objects in flight. */
const CONCURRENCY = 8
/** Without an answer for this long the download ends, as an invocation would. */
const SILENCE_MS = 60_000

/**
 * Downloads the logs of a bucket into a temporary folder, lends `work` the folder that holds users/,
 * mutations/, errors/ and runs/, and removes it. The AWS SDK reads its settings from the environment.
 * @throws ArchiveUnavailable, and whatever `work` throws
 */
export async function withLogsOfBucket<T>(bucket: string, work: (folder: string) => Promise<T>): Promise<T> {
  const root = await mkdtemp(join(tmpdir(), 'credit-expiry-query-'))
  const end = (signal: NodeJS.Signals): void => {
    rmSync(root, { recursive: true, force: true })
    process.kill(process.pid, signal)
  }
  for (const signal of SIGNALS) process.once(signal, end)
  try {
    await download(bucket, root)
    return await work(join(root, PREFIXES.logs))
  } finally {
    for (const signal of SIGNALS) process.off(signal, end)
    await rm(root, { recursive: true, force: true })
  }
}

async function download(bucket: string, root: string): Promise<void> {
  const forcePathStyle = process.env.AWS_ENDPOINT_URL_S3 !== undefined
  const { s3, end } = connectS3({ forcePathStyle, maxAttempts: 1 })
  let answered = performance.now()
  const timeLeft = (): number => answered + SILENCE_MS - performance.now()
  const store: Store = { s3, bucket, timeLeft }
  const listed = list(store, PREFIXES.logs)
  const saveAll = async (): Promise<void> => {
    for await (const { key } of listed) {
      answered = performance.now()
      if (!isLog(key)) continue
      await save(store, key, root)
      answered = performance.now()
    }
  }
  try {
    // All of them have ended before the folder is removed.
    const ended = await Promise.allSettled(Array.from({ length: CONCURRENCY }, saveAll))
    const failed = ended.find((one) => one.status === 'rejected')
    if (failed) throw failed.reason
  } finally {
    await end()
  }
}

/** Whoever wrote another object there must not choose its place on this machine. */
function isLog(key: string): boolean {
  return key.endsWith('.jsonl') && !key.split('/').includes('..')
}

async function save(store: Store, key: string, root: string): Promise<void> {
  const stored = await get(store, key)
  // Deleted since it was listed.
  if (!stored) return
  const file = join(root, key)
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, stored.bytes)
}
