/** A table over the lines of one folder of the logs: one JSON object a line. Types are Athena's. */
export type LogTable = {
  readonly folder: 'users' | 'mutations' | 'errors' | 'runs'
  readonly comment: string
  readonly columns: Readonly<Record<string, string>>
}

const CREDIT = {
  id: 'string',
  credit_category: 'string',
  description: 'string',
  created_at: 'string',
  is_free: 'boolean',
  targeted: 'boolean',
  amount_microdollars: 'bigint',
  had_expiry_date: 'string',
  baseline_microdollars_used: 'bigint',
  expired_microdollars: 'bigint',
}

/** What every line about a user carries. `at` is the run's instant. */
const EVERY_LINE = { run_id: 'string', at: 'string', attempt: 'string' }

/**
 * 3-contract, "The bucket". Times stay texts: a timestamp of Athena's holds no microseconds, and ISO texts
 * sort. Objects whose keys vary, and lists of them, are JSON, as texts.
 */
export const LOG_TABLES: readonly LogTable[] = [
  {
    folder: 'users',
    comment:
      'One line for each user of a run: the outcome, with balances and grants. Amounts in microdollars.',
    columns: {
      ...EVERY_LINE,
      mode: 'string',
      user_id: 'string',
      email: 'string',
      outcome: 'string',
      balance_before_microdollars: 'bigint',
      used_microdollars: 'bigint',
      grants_targeted: 'int',
      expired_microdollars: 'bigint',
      due_paid_microdollars: 'bigint',
      balance_after_expiry_microdollars: 'bigint',
      correction_microdollars: 'bigint',
      final_balance_microdollars: 'bigint',
      next_credit_expiration_at: 'string',
      flags: 'array<string>',
      flag_details: 'string',
      credits: `array<struct<${Object.entries(CREDIT)
        .map(([name, type]) => `${name}:${type}`)
        .join(',')}>>`,
      recovered: 'boolean',
      changed: 'string',
      exceeds: 'string',
      review: 'string',
      excluded: 'string',
      inputs: 'string',
    },
  },
  {
    folder: 'mutations',
    comment:
      'One line for each row that a run changed, inserted or deleted. before and after are JSON, as texts.',
    columns: {
      ...EVERY_LINE,
      mode: 'string',
      user_id: 'string',
      type: 'string',
      row_id: 'string',
      before: 'string',
      after: 'string',
    },
  },
  {
    folder: 'errors',
    comment: 'One line for each user who failed: where, why, after how many attempts.',
    columns: {
      ...EVERY_LINE,
      user_id: 'string',
      page: 'int',
      stage: 'string',
      error: 'string',
      sqlstate: 'string',
      message: 'string',
      attempts: 'int',
      failed_at: 'string',
    },
  },
  {
    folder: 'runs',
    comment:
      'One line for each closed run: what was asked, by which person or schedule, and what it came to.',
    columns: {
      run_id: 'string',
      mode: 'string',
      at: 'string',
      status: 'string',
      why: 'string',
      asked_by: 'string',
      asked_via: 'string',
      reason: 'string',
      plan: 'string',
      rolls_back: 'string',
      domains: 'array<string>',
      software_version: 'string',
      users_matched: 'bigint',
      users_processed: 'bigint',
      users_skipped: 'bigint',
      users_failed: 'bigint',
      grants_targeted: 'bigint',
      expired_microdollars: 'bigint',
      due_paid_microdollars: 'bigint',
      users_corrected: 'bigint',
      corrected_microdollars: 'bigint',
      by_category: 'array<struct<category:string,grants:int,expired_microdollars:bigint>>',
    },
  },
]
