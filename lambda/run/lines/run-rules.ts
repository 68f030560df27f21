import type { Run } from '../../archive/runs.ts'
import { instantToLedgerTime } from '../../rules/times.ts'
import type { RuleSettings } from '../../rules/types.ts'
import type { LineContext } from './user-line.ts'

/** The rules of a run, as fixed at its opening. */
export function settingsOf(run: Run): RuleSettings {
  const { minGrantAgeSeconds, correctionDescriptions, reviewCategories, excludedCategories } = run.settings
  return {
    instant: instantToLedgerTime(run.instant),
    minGrantAgeSeconds,
    correctionDescriptions,
    reviewCategories,
    categories: run.selection.categories,
    excludedCategories,
  }
}

/** What log lines of an attempt begin with. */
export function contextOf(run: Run, attempt: string): LineContext {
  return { runId: run.runId, mode: run.mode, at: run.instant, attempt }
}
