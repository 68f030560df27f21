/** A table over whole logs of one kind: one JSON object a line. Types are Athena's. */
export type LogTable = {
  readonly folder: 'users' | 'mutations' | 'errors'
  readonly comment: string
  readonly columns: Readonly<Record<string, string>>
}

const CREDIT = {
  id: 'string',
  credit_category: 'string',
  is_free: 'boolean',
  targeted: 'boolean',
  amount_microdollars: 'bigint',
  had_expiry_date: 'string',
  baseline_microdollars_used: 'bigint',
  expired_microdollars: 'bigint',
}

/** 3-contract, "The bucket". Times stay texts: a timestamp of Athena's holds no microseconds, and ISO texts sort. */
export const LOG_TABLES: readonly LogTable[] = [
  {
    folder: 'users',
    comment:
      'One line for each user of a run: how they ended, with balances and grants. Amounts in microdollars.',
    columns: {
      run_id: 'string',
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
      credits: `array<struct<${Object.entries(CREDIT)
        .map(([name, type]) => `${name}:${type}`)
        .join(',')}>>`,
      recovered: 'boolean',
      changed: 'array<string>',
    },
  },
  {
    folder: 'mutations',
    comment:
      'One line for each row that a run changed, inserted or deleted. before and after are JSON, as texts.',
    columns: {
      run_id: 'string',
      mode: 'string',
      attempt: 'string',
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
      run_id: 'string',
      user_id: 'string',
      page: 'int',
      stage: 'string',
      error: 'string',
      sqlstate: 'string',
      message: 'string',
      attempts: 'int',
      at: 'string',
    },
  },
]
