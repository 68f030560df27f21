/** A query that is ready in the Athena console; the console asks for the value of each `?`. */
export type SavedQuery = { readonly name: string; readonly description: string; readonly sql: string }

const USER = 'The value: a user id (in Athena in single quotes).'
const RUN = 'The value: a run id (in Athena in single quotes).'

/** Dry runs wrote nothing: a query about what happened leaves them out. */
const WRITING = "mode IN ('execute', 'rollback')"

const userHistory = (filter: string) => `
SELECT
  run_id,
  mode,
  "at",
  outcome,
  balance_before_microdollars / 1e6 AS balance_before_usd,
  expired_microdollars / 1e6 AS expired_usd,
  due_paid_microdollars / 1e6 AS due_paid_usd,
  correction_microdollars / 1e6 AS correction_usd,
  final_balance_microdollars / 1e6 AS final_balance_usd,
  flags
FROM users
WHERE user_id = ?${filter}
ORDER BY run_id DESC`

/**
 * Written in what Athena and DuckDB share (DuckDB takes a bare `at` for a keyword), so that the tests, and
 * people with downloaded logs, run the same text.
 */
export const SAVED_QUERIES: readonly SavedQuery[] = [
  {
    name: 'all runs',
    description:
      'Every closed run except dry runs, newest first: who, why, its totals, and the runs that rolled it back.',
    sql: `
SELECT
  run.run_id,
  run.mode,
  run."at",
  run.status,
  run.asked_by,
  run.reason,
  run.plan,
  run.users_processed,
  run.users_failed,
  run.expired_microdollars / 1e6 AS expired_usd,
  run.corrected_microdollars / 1e6 AS corrected_usd,
  run.rolls_back,
  array_agg(rollback.run_id ORDER BY rollback.run_id) FILTER (WHERE rollback.users_processed > 0) AS rolled_back_by
FROM runs AS run
LEFT JOIN runs AS rollback ON rollback.rolls_back = run.run_id AND rollback.mode = 'rollback'
WHERE run.mode IN ('execute', 'rollback')
GROUP BY
  run.run_id, run.mode, run."at", run.status, run.asked_by, run.reason, run.plan,
  run.users_processed, run.users_failed, run.expired_microdollars, run.corrected_microdollars, run.rolls_back
ORDER BY run.run_id DESC`,
  },
  {
    name: 'what happened to one user',
    description: `Over all runs except dry runs, newest first. ${USER}`,
    sql: userHistory(`\n  AND ${WRITING}`),
  },
  {
    name: 'what happened to one user, dry runs too',
    description: `Over all runs, newest first. ${USER}`,
    sql: userHistory(''),
  },
  {
    name: 'every row changed for one user',
    description: `Over all runs except dry runs, newest first, with the values before and after. ${USER}`,
    sql: `
SELECT run_id, mode, "at", type, row_id, before, after
FROM mutations
WHERE user_id = ?
  AND ${WRITING}
ORDER BY run_id DESC, type, row_id`,
  },
  {
    name: 'users with most expired credit',
    description: `The hundred users of one run with the most expired credit. ${RUN}`,
    sql: `
SELECT
  mode,
  "at",
  user_id,
  email,
  grants_targeted,
  expired_microdollars / 1e6 AS expired_usd,
  due_paid_microdollars / 1e6 AS due_paid_usd,
  final_balance_microdollars / 1e6 AS final_balance_usd
FROM users
WHERE run_id = ? AND outcome = 'expired'
ORDER BY expired_microdollars DESC, user_id
LIMIT 100`,
  },
  {
    name: 'all corrections',
    description:
      'Negative balances that runs brought to zero, newest first; corrections rolled back are ' +
      'negative. No dry runs.',
    sql: `
SELECT
  run_id,
  mode,
  "at",
  user_id,
  email,
  correction_microdollars / 1e6 AS correction_usd,
  balance_before_microdollars / 1e6 AS balance_before_usd,
  flags
FROM users
WHERE ${WRITING} AND correction_microdollars <> 0
ORDER BY run_id DESC, correction_microdollars DESC, user_id`,
  },
  {
    name: 'runs in dollars',
    description:
      'The totals of each run except dry runs, newest first; the amounts of rollbacks are negative.',
    sql: `
SELECT
  run_id,
  mode,
  max("at") AS "at",
  count(*) AS users,
  sum(expired_microdollars) / 1e6 AS expired_usd,
  sum(due_paid_microdollars) / 1e6 AS due_paid_usd,
  sum(correction_microdollars) / 1e6 AS corrected_usd,
  sum(CASE WHEN outcome = 'failed' THEN 1 ELSE 0 END) AS failed
FROM users
WHERE ${WRITING}
GROUP BY run_id, mode
ORDER BY run_id DESC`,
  },
  {
    name: 'expired by credit category',
    description:
      'What each run except dry runs expired of each credit category: newest run first, then the ' +
      'largest amount.',
    sql: `
SELECT run_id, mode, "at", expired_microdollars / 1e6 AS expired_usd, by_category
FROM runs
WHERE ${WRITING}
ORDER BY run_id DESC`,
  },
  {
    name: 'why users failed',
    description: `Errors of one run, the most frequent first. ${RUN}`,
    sql: `
SELECT error, sqlstate, stage, message, count(*) AS users, min(user_id) AS example
FROM errors
WHERE run_id = ?
GROUP BY error, sqlstate, stage, message
ORDER BY users DESC, error`,
  },
]
