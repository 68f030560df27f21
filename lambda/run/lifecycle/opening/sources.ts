import { readMark } from '../../../archive/control.ts'
import { stateOf } from '../../../archive/state.ts'
import { readRun, type Run } from '../../../archive/runs.ts'
import type { Config } from '../../../config.ts'
import { RunRefused } from '../../../errors.ts'
import type { Tools } from '../../tools.ts'
import { knownRun } from '../../known-run.ts'

/**
 * The dry run that a plan-bound execute names, if it may still be executed: complete, of the same
 * configuration, not too old by the database's clock, and not executed by another run.
 * @throws RunRefused with the reason and what to do
 */
export async function approvedPlan(dryRunId: string, databaseNow: string, tools: Tools): Promise<Run> {
  const refused = (why: string): RunRefused =>
    new RunRefused(
      `The plan ${dryRunId} cannot be executed: ${why}. Nothing was done. Make a new dry run with ` +
        '{}, check it, and execute that one.',
    )
  const dryRun = await knownRun(dryRunId, tools)
  if (dryRun.mode !== 'dry-run') throw refused(`its mode is ${dryRun.mode}, and only a dry run can be a plan`)
  const ageHours = (Date.parse(databaseNow) - Date.parse(dryRun.instant)) / 3_600_000
  const { planMaxAgeHours } = tools.config
  if (ageHours > planMaxAgeHours)
    throw refused(
      `it is ${ageHours.toFixed(1)} hours old, and a plan is valid for ${planMaxAgeHours} (PLAN_MAX_AGE_HOURS)`,
    )
  const state = await stateOf(tools.store, dryRun)
  const status = state.is === 'closed' ? state.cursor.finalStatus?.status : 'not closed'
  if (status !== 'complete') throw refused(`it is ${status}, and only a complete one can be executed`)
  const difference = differenceOf(dryRun, tools.config)
  if (difference !== null) throw refused(`the configuration has changed since: ${difference}`)
  const owner = await readMark(tools.store, 'plan', dryRunId)
  if (owner !== null)
    throw refused(`run ${owner} has used it already; send {"resume": "${owner}"} to continue or see that run`)
  return dryRun
}

/** The settings that the rules use, with the name of their variable. */
const RULE_SETTINGS = [
  ['minGrantAgeSeconds', 'MIN_GRANT_AGE_SECONDS'],
  ['correctionDescriptions', 'CORRECTION_DESCRIPTIONS'],
  ['reviewCategories', 'REVIEW_CATEGORIES'],
  ['excludedCategories', 'EXCLUDED_CATEGORIES'],
  ['excludedUserIds', 'EXCLUDED_USER_IDS'],
] as const

function differenceOf({ settings, selection }: Run, config: Config): string | null {
  const gone = selection.domains.filter((domain) => !config.domains.includes(domain))
  if (gone.length > 0) return `INTERNAL_DOMAINS no longer has ${gone.join(', ')}`
  const changed = RULE_SETTINGS.find(([key]) => JSON.stringify(settings[key]) !== JSON.stringify(config[key]))
  return changed ? changed[1] : null
}

/**
 * The execute run that a rollback names: it must be closed, so that its mutation log is whole.
 * @throws RunRefused
 */
export async function rollbackTarget(runId: string, tools: Tools): Promise<Run> {
  const refused = (why: string): RunRefused =>
    new RunRefused(`Run ${runId} cannot be rolled back: ${why}. Nothing was done.`)
  const run = (await readRun(tools.store, runId)) ?? (await knownRun(runId, tools))
  if (run.mode !== 'execute') throw refused(`its mode is ${run.mode}, and only an execute changes the ledger`)
  const state = await stateOf(tools.store, run)
  if (state.is === 'refused' && state.card.status === 'abandoned')
    throw refused(
      'it was abandoned, so its mutation log may be incomplete (docs/runbook.md, "Abandoned runs")',
    )
  if (state.is === 'refused' || state.is === 'never_opened')
    throw refused('it was never opened, so it changed nothing')
  if (state.is === 'open') {
    throw refused(
      `it is not closed. Finish it with {"resume": "${runId}"}, or stop it with {"cancel": "${runId}"}, first`,
    )
  }
  return run
}
