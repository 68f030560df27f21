import type { Run } from '../../archive/runs.ts'
import type { ExitCard } from '../../exit-card.ts'

/** The line of a closed run in the table of runs: who asked for what and why, and its totals. */
export function runLine(run: Run, { status, why, totals, byCategory }: ExitCard): object {
  return {
    run_id: run.runId,
    mode: run.mode,
    at: run.instant,
    status,
    why,
    // `by` is a reserved word in SQL.
    asked_by: run.asked.by,
    asked_via: run.asked.via,
    reason: run.asked.reason,
    plan: run.selection.plan,
    rolls_back: run.selection.rollback,
    domains: run.selection.domains,
    software_version: run.softwareVersion,
    users_matched: totals.usersMatched,
    users_processed: totals.usersProcessed,
    users_skipped: totals.usersSkipped,
    users_failed: totals.usersFailed,
    grants_targeted: totals.grantsTargeted,
    expired_microdollars: totals.expiredMicrodollars,
    due_paid_microdollars: totals.duePaidMicrodollars,
    users_corrected: totals.usersCorrected,
    corrected_microdollars: totals.correctedMicrodollars,
    by_category: byCategory.map(({ category, grants, expiredMicrodollars }) => ({
      category,
      grants,
      expired_microdollars: expiredMicrodollars,
    })),
  }
}
