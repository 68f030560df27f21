/** A query that stands ready in the Athena console; the console asks for the value of each `?`. */
export type SavedQuery = { readonly name: string; readonly description: string; readonly sql: string }

/** Written in what Athena and DuckDB share, so that the tests, and whoever has downloaded the logs, run the same text. */
export const SAVED_QUERIES: readonly SavedQuery[] = [
  {
    name: 'what happened to one user',
    description: 'Over all runs, newest first. The value: a user id (in Athena in single quotes).',
    sql: `
SELECT
  run_id,
  outcome,
  balance_before_microdollars / 1e6 AS balance_before_usd,
  expired_microdollars / 1e6 AS expired_usd,
  due_paid_microdollars / 1e6 AS due_paid_usd,
  correction_microdollars / 1e6 AS correction_usd,
  final_balance_microdollars / 1e6 AS final_balance_usd,
  flags
FROM users
WHERE user_id = ?
ORDER BY run_id DESC`,
  },
  {
    name: 'every row changed for one user',
    description:
      'Over all runs, newest first, with the values before and after. The value: a user id (in Athena in single quotes).',
    sql: `
SELECT run_id, type, row_id, before, after
FROM mutations
WHERE user_id = ?
ORDER BY run_id DESC, type, row_id`,
  },
  {
    name: 'users who lost most',
    description:
      'The hundred users of one run of whom most expired. The value: a run id (in Athena in single quotes).',
    sql: `
SELECT
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
    description: 'Negative balances that runs brought to zero, newest first; taken back ones are negative.',
    sql: `
SELECT
  run_id,
  user_id,
  email,
  correction_microdollars / 1e6 AS correction_usd,
  balance_before_microdollars / 1e6 AS balance_before_usd,
  flags
FROM users
WHERE mode IN ('execute', 'rollback') AND correction_microdollars <> 0
ORDER BY run_id DESC, correction_microdollars DESC, user_id`,
  },
  {
    name: 'runs in dollars',
    description: 'What each run came to, newest first; what a rollback gave back is negative.',
    sql: `
SELECT
  run_id,
  count(*) AS users,
  sum(expired_microdollars) / 1e6 AS expired_usd,
  sum(due_paid_microdollars) / 1e6 AS due_paid_usd,
  sum(correction_microdollars) / 1e6 AS corrected_usd,
  sum(CASE WHEN outcome = 'failed' THEN 1 ELSE 0 END) AS failed
FROM users
GROUP BY run_id
ORDER BY run_id DESC`,
  },
  {
    name: 'why users failed',
    description:
      'Errors of one run, the most frequent first. The value: a run id (in Athena in single quotes).',
    sql: `
SELECT error, sqlstate, stage, message, count(*) AS users, min(user_id) AS one_of_them
FROM errors
WHERE run_id = ?
GROUP BY error, sqlstate, stage, message
ORDER BY users DESC, error`,
  },
]
