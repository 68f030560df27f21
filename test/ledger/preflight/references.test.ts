import { expect, test } from 'vitest'
import { type ForeignKey, unreadableKeys, watchedKeys } from '../../../lambda/ledger/preflight/references.ts'

const ACTIONS = ['NO ACTION', 'RESTRICT', 'CASCADE', 'SET NULL', 'SET DEFAULT'] as const

const keys = ACTIONS.map((onDelete): ForeignKey => {
  const table = onDelete.toLowerCase().replace(' ', '_')
  return {
    schema: 'public',
    table,
    column: 'credit_id',
    constraint: `${table}_fkey`,
    onDelete,
    readable: false,
    rowsHidden: false,
  }
})
const all = keys.map(({ constraint }) => constraint)

test('keys that are accepted are not looked at, except those that refuse a delete', () => {
  expect(watchedKeys(keys, [])).toEqual(keys)
  expect(watchedKeys(keys, all).map(({ onDelete }) => onDelete)).toEqual(['NO ACTION', 'RESTRICT'])
})

test('a key that does not refer by the id refuses a rollback where it would not refuse the delete itself', () => {
  const texts = unreadableKeys(
    keys.map((key) => ({ ...key, column: null, readable: true })),
    [],
  )
  expect(texts).toHaveLength(3)
  for (const text of texts)
    expect(text).toMatch(/does not refer to them by their id. List it in ACCEPTED_REFERENCES$/)
})

test('a key that cannot be read: the GRANT statement, and ACCEPTED_REFERENCES only where that helps', () => {
  const texts = unreadableKeys(keys, [])
  for (const [index, { table, constraint, onDelete }] of keys.entries()) {
    expect(texts[index]).toContain(`GRANT SELECT (credit_id) ON public.${table} TO the user of this job`)
    const isOffered = texts[index]?.endsWith(`; or list ${constraint} in ACCEPTED_REFERENCES`)
    expect([onDelete, isOffered]).toEqual([onDelete, onDelete !== 'NO ACTION' && onDelete !== 'RESTRICT'])
  }
  expect(unreadableKeys(keys, all)).toHaveLength(2)
})
