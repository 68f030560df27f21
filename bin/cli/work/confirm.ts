import input from '@inquirer/input'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import type { Server } from '../../../lambda/ledger/server.ts'
import type { Tools } from '../../../lambda/run/tools.ts'
import { userHere } from './caller.ts'
import type { Command } from '../line/command.ts'
import type { Drive } from './drive.ts'
import { target } from './engine.ts'
import { withinDeadline, withToolsHere } from './job.ts'
import { type Figures, preview } from './preview.ts'
import { amountsTable, usersTable, warningsSection } from '../print/report.ts'
import { commandFor } from '../line/shell.ts'
import { count as countText, money, section, table, textOf } from '../print/tables.ts'
import { discardTypedAhead, type Output, printable, type Terminal } from '../terminal.ts'
import { usersText, wordsFor } from '../print/words.ts'

type Target = Server & { readonly bucket: string }

/**
 * Shows where and what would be written, counted now, and asks; with `--yes` it only shows.
 * @throws LedgerUnavailable, ArchiveUnavailable, RunRefused, and whatever else the count throws
 */
export async function confirm(command: Command, driving: Drive, terminal: Terminal): Promise<boolean> {
  const { progress, interrupt } = driving
  const milliseconds = command.invocationSeconds * 1000
  progress.begin('Counting')
  const count = async (tools: Tools, alive: () => void) => ({
    where: await target(tools),
    figures: await figuresOf(command, driving, async (request) =>
      preview(request, tools, (users, all) => {
        alive()
        progress.counted(users, all)
      }),
    ),
  })
  const { where, figures } = await withToolsHere(async (tools) =>
    withinDeadline(milliseconds, async (alive) => count(tools, alive), interrupt.signal),
  )
  progress.end()
  terminal.err.write(shown(command, where, figures, terminal.err))
  if (command.given.yes === true) return true
  return (
    (await ask(`Write to ${printable(where.database)} on ${where.host}? Only "yes" continues:`, driving)) ===
    'yes'
  )
}

/** Of a resume, the figures so far. */
async function figuresOf(
  { payload }: Command,
  { invoke, progress }: Drive,
  countNow: (request: Parameters<typeof preview>[0]) => Promise<Figures>,
): Promise<Figures> {
  if (payload.kind === 'run' || payload.kind === 'rollback') return countNow(payload)
  const card = await invoke({ status: 'runId' in payload ? payload.runId : 'latest' }, progress.show)
  return { card, faceValueMicrodollars: null, plan: null }
}

function shown(command: Command, where: Target, figures: Figures, out: Output): string {
  const { payload, event } = command
  const { card, plan, faceValueMicrodollars } = figures
  const { mode, asked, domains, totals, warnings } = card
  const resumes = payload.kind === 'resume'
  const facts = [
    ['Database', `${where.database} on ${where.host}`],
    ['Server', `PostgreSQL ${where.version}, user ${where.user}`],
    ['Log bucket', where.bucket],
    ['Mode', resumes ? `Resume of ${payload.runId}` : `${wordsFor(mode).title}: this writes`],
    ['Domains', domains.join(', ')],
    ['By', 'by' in payload && payload.by !== undefined ? payload.by : userHere()],
    ...(asked.reason === null ? [] : [['Reason', asked.reason]]),
    ...(plan === null
      ? []
      : [
          ['Plan', plan.runId],
          ['', planText(plan)],
        ]),
    ['Command', commandFor(event)],
  ].map((fact) => fact.map(printable))
  const atRisk = totals.flags.auto_top_up_risk ?? 0
  return textOf([
    ...table([{ head: '' }, { head: '', least: 20 }], facts, out.columns),
    '',
    out.style('bold', resumes ? 'So far' : 'What this would do now'),
    ...usersTable(totals, out.columns),
    `Cards that auto top-up may charge: ${countText(atRisk)}`,
    '',
    ...amountsTable(
      mode,
      totals,
      out.columns,
      faceValueMicrodollars === null ? [] : [['Face value of the targeted grants', faceValueMicrodollars]],
    ),
    ...(plan === null ? [] : sincePlan(plan.totals, totals, out)),
    ...warningsSection(warnings, out),
    '',
  ])
}

function planText(plan: ExitCard): string {
  const minutes = Math.floor((Date.now() - Date.parse(plan.instant)) / 60_000)
  const age = minutes < 60 ? `${minutes} minutes` : `${(minutes / 60).toFixed(1)} hours`
  return `${age} old, by ${plan.asked.by}, ${usersText(plan.totals.usersMatched)}, ${plan.totals.expired}`
}

/** The figures of a plan that would be different now. */
function sincePlan(then: ExitCard['totals'], now: ExitCard['totals'], out: Output): string[] {
  const rows = [
    ['Users processed', countText(then.usersProcessed), countText(now.usersProcessed)],
    ['Users that exceed the plan', '0', countText(now.outcomes.exceeds_plan ?? 0)],
    ['Users failed', countText(then.usersFailed), countText(now.usersFailed)],
    ['Grants targeted', countText(then.grantsTargeted), countText(now.grantsTargeted)],
    ['Free credit', ...money([then.expiredMicrodollars, now.expiredMicrodollars])],
    ['Due paid credit', ...money([then.duePaidMicrodollars, now.duePaidMicrodollars])],
    ['Corrections', ...money([then.correctedMicrodollars, now.correctedMicrodollars])],
  ].filter(([, before, after]) => before !== after)
  if (rows.length === 0) return ['', 'Nothing has changed since the plan.']
  const columns = [
    { head: '', least: 10 },
    { head: 'plan', right: true },
    { head: 'now', right: true },
  ] as const
  return section(
    out.style('bold', 'Changed since the plan, counted within it'),
    table(columns, rows, out.columns),
  )
}

/** Asks on standard error; null when the person left the question with Ctrl-C or Ctrl-D. */
async function ask(message: string, { interrupt }: Drive): Promise<string | null> {
  discardTypedAhead()
  try {
    const answer = await input({ message }, { output: process.stderr, signal: interrupt.signal })
    return answer.trim().toLowerCase()
  } catch (error) {
    if (error instanceof Error && error.name === 'ExitPromptError') {
      interrupt.request()
      return null
    }
    if (interrupt.signal.aborted) return null
    throw error
  }
}
