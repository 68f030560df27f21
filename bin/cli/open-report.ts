import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { get } from '../../lambda/archive/s3/objects.ts'
import type { ExitCard } from '../../lambda/exit-card.ts'
import { status } from '../../lambda/insight/status.ts'
import type { Tools } from '../../lambda/run/tools.ts'
import { UsageError } from './line/options.ts'
import { fileHere, type Place } from './place.ts'
import { commandFor } from './line/shell.ts'

/**
 * The path of a run's report on this machine: the file itself where the bucket is here, else a copy in the
 * temporary folder.
 * @throws UsageError where the run has no report, RunRefused for an unknown run, ArchiveUnavailable
 */
export async function reportFile(asked: string, place: Place, tools: Tools): Promise<string> {
  const card = await status(asked, tools)
  refuseWithoutLog(card)
  const { runId, logs } = card
  const local = fileHere(place, logs.report)
  if (local !== null) return resolve(process.env.INIT_CWD ?? '.', local)
  const found = await get(tools.store, logs.report.replace(`s3://${tools.store.bucket}/`, ''))
  if (found === null)
    throw new UsageError(`Run ${runId} has no report. ${commandFor({ report: runId })} makes it.`)
  const path = join(tmpdir(), `credit-expiry-${runId}.html`)
  await writeFile(path, found.bytes)
  return path
}

/** @throws UsageError for what has no log: no run at all, and a run that was refused or abandoned */
export function refuseWithoutLog({ runId, status: now }: Pick<ExitCard, 'runId' | 'status'>): void {
  if (runId === '') throw new UsageError('There is no run in this bucket yet. npm start makes a dry run.')
  if (now !== 'refused' && now !== 'abandoned') return
  const why = now === 'refused' ? 'it was refused, and did nothing' : 'it was abandoned'
  throw new UsageError(`Run ${runId} has no whole log: ${why}. ${commandFor({ status: runId })} shows it.`)
}

/** What opens a file with the person's own program. */
const OPENERS: Readonly<Record<string, readonly [string, ...string[]]>> = {
  darwin: ['open'],
  win32: ['cmd', '/c', 'start', ''],
}

/** Starts the program; false where there is none. It may run on after this command. */
export async function opened(path: string, platform: NodeJS.Platform = process.platform): Promise<boolean> {
  const [program, ...args] = OPENERS[platform] ?? ['xdg-open']
  const child = spawn(program, [...args, path], { stdio: 'ignore', detached: true })
  child.unref()
  try {
    await once(child, 'spawn')
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false
    throw error
  }
}
