import { expect, test } from 'vitest'
import { rowText } from '../../lambda/insight/row-text.ts'

const GRANT = { table: 'credit_transactions', row: '8f14e45f-0000-4000-8000-000000000001' }

test.each([
  [
    'a row of a flag or a review: its fields, amounts in dollars',
    { credit_category: 'manual_decrement', amount_microdollars: -5_000_000, why: 'reversal_without_link' },
    'credit category: manual_decrement, amount: -$5.00, why: it takes credit back without naming a grant',
  ],
  [
    'a date that was changed since',
    { ...GRANT, column: 'expiry_date', expected: '2026-11-22T06:00:00Z', found: null },
    'credit_transactions 8f14e45f-0000-4000-8000-000000000001: expiry date is empty, and was ' +
      '2026-11-22T06:00:00Z after the run',
  ],
  [
    'an amount that was changed since, as a number or as text',
    { ...GRANT, column: 'amount_microdollars', expected: '-5000000', found: '-4000000' },
    'credit_transactions 8f14e45f-0000-4000-8000-000000000001: amount is -$4.00, and was -$5.00 after the run',
  ],
  [
    'a row that was deleted since',
    { ...GRANT, column: 'id', expected: GRANT.row, found: null },
    'credit_transactions 8f14e45f-0000-4000-8000-000000000001: the row is gone',
  ],
  [
    'a row of another table that refers to one that would be deleted',
    { table: 'invoices', row: '17', column: 'credit_transaction_id', expected: null, found: GRANT.row },
    'invoices 17: refers to the row 8f14e45f-0000-4000-8000-000000000001 by its credit_transaction_id',
  ],
  [
    'more closing rows than after the run',
    { table: 'credit_transactions', row: 'ada', column: 'closings', expected: 3, found: 4 },
    'closing rows and corrections: 4 now, 3 after the run',
  ],
  [
    'as many closing rows, and others',
    { table: 'credit_transactions', row: 'ada', column: 'closings', expected: 'c0ffee', found: 'facade' },
    'closing rows and corrections: not the same as after the run',
  ],
])('%s', (_what, row, text) => {
  expect(rowText(row)).toBe(text)
})
