import type { ExitCard } from '../../../lambda/exit-card.ts'
import { counted } from '../../../lambda/insight/report/page/text.ts'
import type { Command } from '../line/command.ts'
import { commandFor } from '../line/shell.ts'
import { type Output, printable } from '../terminal.ts'
import type { Figures } from '../invoke/figures.ts'
import { userHere } from '../invoke/caller.ts'
import { amountsTable, usersTable, warningsSection } from './report.ts'
import { count, money, section, table, textOf } from './tables.ts'
import { usersText, wordsFor } from './words.ts'

type Out = Pick<Output, 'columns' | 'style'>

/** Where and what a command would write, as the person sees it before the question. */
export function beforeWriting(command: Command, figures: Figures, out: Out): string {
  const { mode, totals, warnings } = figures.card
  const { plan, faceValueMicrodollars: face } = figures
  return textOf([
    ...table([{ head: '' }, { head: '', least: 20 }], factsOf(command, figures), out.columns),
    '',
    out.style(
      'bold',
      command.payload.kind === 'resume' || figures.open !== null ? 'So far' : 'What this would do now',
    ),
    ...usersTable(totals, out.columns),
    `Cards that auto top-up may charge: ${count(totals.flags.auto_top_up_risk ?? 0)}`,
    '',
    ...amountsTable(
      mode,
      totals,
      out.columns,
      face === null ? [] : [['Face value of the targeted grants', face]],
    ),
    ...(plan === null ? [] : sincePlan(plan.totals, totals, out)),
    ...warningsSection(warnings, out),
    '',
  ])
}

function factsOf({ payload, event }: Command, figures: Figures): string[][] {
  const { server, bucket, rightsChecked, card, plan, open } = figures
  const { mode, asked, domains } = card
  const facts = [
    ['Database', `${server.database} on ${server.host}`],
    ['Server', `PostgreSQL ${server.version}, user ${server.user}`],
    ['Rights', rightsChecked ? `checked: ${server.user} has all rights that this run needs` : null],
    ['Log bucket', bucket],
    [
      'Mode',
      payload.kind === 'resume' ? `Resume of ${payload.runId}` : `${wordsFor(mode).title}: this writes`,
    ],
    ['Open run', open && `${open} is continued, with its own reason and settings`],
    ['Domains', domains.join(', ')],
    ['By', ('by' in payload ? payload.by : undefined) ?? userHere()],
    ['Reason', asked.reason],
    ['Plan', plan && plan.runId],
    ['', plan && planText(plan)],
    ['Command', commandFor(event)],
  ] as const
  return facts.flatMap(([name, text]) => (text === null ? [] : [[name, printable(text)]]))
}

function planText(plan: ExitCard): string {
  const minutes = Math.floor((Date.now() - Date.parse(plan.instant)) / 60_000)
  const age = minutes < 60 ? counted(minutes, 'minute') : `${(minutes / 60).toFixed(1)} hours`
  return `${age} old, by ${plan.asked.by}, ${usersText(plan.totals.usersMatched)}, ${plan.totals.expired}`
}

/** The figures of a plan that would be different now. */
function sincePlan(then: ExitCard['totals'], now: ExitCard['totals'], out: Out): string[] {
  const rows = [
    ['Users processed', count(then.usersProcessed), count(now.usersProcessed)],
    ['Users that exceed the plan', '0', count(now.outcomes.exceeds_plan ?? 0)],
    ['Users failed', count(then.usersFailed), count(now.usersFailed)],
    ['Grants targeted', count(then.grantsTargeted), count(now.grantsTargeted)],
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
