import type * as z from 'zod'
import { logFolder, runFileKey } from '../lambda/archive/keys.ts'
import { type Run, runSchema } from '../lambda/archive/runs.ts'
import { dollars } from '../lambda/exit-card.ts'
import { loggedLine, type LoggedLine } from '../lambda/insight/logged-line.ts'
import { linesOfBytes, type RunFiles } from '../lambda/insight/verify/files.ts'
import { UnreadableInputs, unpackInputs } from '../lambda/rules/inputs.ts'
import { planUser } from '../lambda/rules/plan.ts'
import { contextOf, settingsOf } from '../lambda/run/lines/run-rules.ts'
import { planLine, type UserLine } from '../lambda/run/lines/user-line.ts'
import { type Answered, failed, printAnswered } from './answered.ts'
import { DIFFERENT, INCOMPLETE } from './exit-status.ts'
import { filesOfFolder, rootOf, runsOfFolder } from './folder.ts'

/** A user that the rules of this checkout would treat differently from the log. */
export type ReplayedUser = {
  readonly runId: string
  readonly userId: string
  readonly logged: Compared
  readonly now: Compared
  /** By how much what expires and what is corrected differ, in microdollars. */
  readonly microdollars: number
}

/** What is compared of a user: the outcome, the amounts, and what expires of each grant. */
export type Compared = {
  readonly outcome: string
  readonly expiredMicrodollars: number
  readonly duePaidMicrodollars: number
  readonly correctionMicrodollars: number
  readonly grants: Readonly<Record<string, number | null>>
}

export type Replay = {
  readonly runs: number
  readonly users: number
  /** Lines that prove nothing about the rules: of users who were not planned, and of rollbacks. */
  readonly notPlanned: number
  /** Runs of which nothing was planned, each with the reason. */
  readonly leftOut: readonly string[]
  readonly differing: readonly ReplayedUser[]
}

/** Lines whose outcome is the rules' own; any other depends on more than the inputs. */
const PLANNED = new Set([
  'expired',
  'nothing_to_expire',
  'no_targeted_grant',
  'excluded',
  'too_recent',
  'needs_review',
])

/**
 * Plans every user in downloaded logs again with the rules of this checkout, under the settings of the logged
 * run, and collects what would differ.
 * @throws UnreadableInputs for logs of another version, UnreadableFile naming a damaged file
 */
export async function replayFolder(folder: string): Promise<Replay> {
  const root = await rootOf(folder)
  const files = filesOfFolder(root)
  const differing: ReplayedUser[] = []
  const leftOut: string[] = []
  let [runs, users, notPlanned] = [0, 0, 0]
  for (const runId of await runsOfFolder(root)) {
    const run = await readRunOf(files, runId)
    if (!run) leftOut.push(`${runId}: its run.json is not in this folder`)
    if (!run || run.selection.rollback !== null) continue
    let lines = 0
    for await (const line of usersOf(files, runId)) {
      lines += 1
      if (!PLANNED.has(line.outcome) || line.inputs === undefined) {
        notPlanned += 1
        continue
      }
      users += 1
      const different = replayLine(run, line)
      if (different) differing.push(different)
    }
    if (lines > 0) runs += 1
    else if (run.matched.users > 0) leftOut.push(`${runId}: its users log is not in this folder`)
  }
  return { runs, users, notPlanned, leftOut, differing }
}

async function readRunOf(files: RunFiles, runId: string): Promise<Run | null> {
  const bytes = await files.read(runFileKey(runId, 'run.json'))
  return bytes && parsed(runSchema, runFileKey(runId, 'run.json'), Buffer.from(bytes).toString())
}

async function* usersOf(files: RunFiles, runId: string): AsyncGenerator<LoggedLine> {
  for await (const { key } of files.list(logFolder(runId, 'users'))) {
    for (const line of linesOfBytes(await files.read(key))) yield parsed(loggedLine, key, line)
  }
}

/** A file of the folder that is not as the job wrote it. */
class UnreadableFile extends Error {
  override readonly name = 'UnreadableFile'
}

function parsed<T>(schema: z.ZodType<T>, key: string, text: string): T {
  try {
    return schema.parse(JSON.parse(text))
  } catch (cause) {
    throw new UnreadableFile(`${key} is damaged or incomplete. Download it again; nothing was concluded.`, {
      cause,
    })
  }
}

function replayLine(run: Run, line: LoggedLine): ReplayedUser | null {
  const { user, rows, circumstances } = unpackInputs(line.inputs)
  const plan = planUser(user, rows, settingsOf(run), circumstances)
  const logged = comparedOf(line)
  const now = comparedOf(planLine(contextOf(run, line.attempt), plan, null))
  if (JSON.stringify(logged) === JSON.stringify(now)) return null
  const microdollars =
    Math.abs(now.expiredMicrodollars - logged.expiredMicrodollars) +
    Math.abs(now.duePaidMicrodollars - logged.duePaidMicrodollars) +
    Math.abs(now.correctionMicrodollars - logged.correctionMicrodollars)
  return { runId: run.runId, userId: user.id, logged, now, microdollars }
}

function comparedOf(line: LoggedLine | UserLine): Compared {
  return {
    outcome: line.outcome,
    expiredMicrodollars: line.expired_microdollars,
    duePaidMicrodollars: line.due_paid_microdollars,
    correctionMicrodollars: line.correction_microdollars,
    grants: Object.fromEntries(
      line.credits.map(({ id, expired_microdollars }) => [id, expired_microdollars]),
    ),
  }
}

const USERS_SHOWN = 20

/** A replay for people: the sum, then the users with the largest differences. */
export function replayReport({ runs, users, notPlanned, leftOut, differing }: Replay): string[] {
  const sum = differing.reduce((total, { microdollars }) => total + microdollars, 0)
  const what = `${users} users of ${runs} ${runs === 1 ? 'run' : 'runs'} were planned again`
  const skipped = notPlanned > 0 ? `; ${notPlanned} lines without a plan were left out` : ''
  const missing = leftOut.map((why) => `Left out: ${why}.`)
  if (differing.length === 0) return [`No difference: ${what}${skipped}.`, ...missing]
  const largest = differing.toSorted((a, b) => b.microdollars - a.microdollars).slice(0, USERS_SHOWN)
  return [
    `${differing.length} ${differing.length === 1 ? 'user' : 'users'}, ${dollars(sum)}: ${what}${skipped}.`,
    ...largest.map(
      ({ runId, userId, logged, now }) => `  ${userId} in ${runId}: ${summary(logged)} → ${summary(now)}`,
    ),
    ...(differing.length > largest.length ? [`  and ${differing.length - largest.length} more`] : []),
    ...missing,
  ]
}

function summary({ outcome, expiredMicrodollars, correctionMicrodollars }: Compared): string {
  const corrected = correctionMicrodollars === 0 ? '' : `, corrected ${dollars(correctionMicrodollars)}`
  return `${outcome}, expired ${dollars(expiredMicrodollars)}${corrected}`
}

const USAGE = `npm run replay -- <folder>

<folder> holds logs/users/ and runs/ as the bucket has them, or is that logs/. Every logged user is planned again with
the rules of this checkout; exit status 2 where something would differ, 3 where a run lacks its files.`

async function answer([folder, ...more]: readonly string[]): Promise<Answered> {
  if (folder === undefined || folder.startsWith('-') || more.length > 0) return failed(USAGE)
  try {
    const replayed = await replayFolder(folder)
    const { runs, leftOut, differing } = replayed
    if (runs === 0 && leftOut.length === 0)
      return failed(`${folder} has no runs/<run id>/run.json. Nothing was planned.\n\n${USAGE}`)
    const exitCode = differing.length > 0 ? DIFFERENT : leftOut.length > 0 ? INCOMPLETE : 0
    return { out: `${replayReport(replayed).join('\n')}\n`, error: '', exitCode }
  } catch (error) {
    if (error instanceof UnreadableFile || error instanceof UnreadableInputs) return failed(error.message)
    throw error
  }
}

if (import.meta.main) printAnswered(await answer(process.argv.slice(2)))
