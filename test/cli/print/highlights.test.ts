import { beforeAll, describe, expect, test } from 'vitest'
import { highlightTables } from '../../../bin/cli/print/highlight-tables.ts'
import { type Highlights, readHighlights } from '../../../bin/cli/print/highlights.ts'
import { createParts } from '../../../lambda/archive/logs.ts'
import { testOutput } from '../output.ts'
import { freshBucket, storeOf, type TestBucket } from '../../support/bucket.ts'
import { cardWith } from '../cards.ts'

type Line = Record<string, unknown>

function userLine(given: Line): Line {
  return {
    outcome: 'expired',
    email: `${String(given['user_id'])}@kilo.ai`,
    balance_before_microdollars: 10_000_000,
    grants_targeted: 1,
    expired_microdollars: 0,
    due_paid_microdollars: 0,
    correction_microdollars: 0,
    final_balance_microdollars: 0,
    flags: [],
    ...given,
  }
}

let bucket: TestBucket
beforeAll(async () => {
  bucket = await freshBucket()
})

const card = cardWith()
let epoch = 0

function bytesOf(lines: Line[]): Uint8Array {
  return Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
}

async function read(
  users: Line[],
  errors: Line[] = [],
  { size = 3, stop = (): boolean => false } = {},
): Promise<Highlights | null> {
  const bytes = { users: bytesOf(users), mutations: bytesOf([]), errors: bytesOf(errors) }
  const page = await createParts(storeOf(bucket), card.runId, 0, (epoch += 1), bytes)
  return readHighlights(storeOf(bucket), { runId: card.runId, pages: [page] }, size, stop)
}

describe('what is shown of a log', () => {
  test('the largest changes, the first first where they are equal, and how many there are in all', async () => {
    const lines = Array.from({ length: 1_000 }, (_, index) =>
      userLine({
        user_id: `u${index}`,
        expired_microdollars: (index * 7_919) % 1_000,
        due_paid_microdollars: index === 500 ? 5_000 : 0,
      }),
    )
    const found = await read(lines)
    expect(found?.changes.all).toBe(999)
    expect(
      found?.changes.first.map((line) => line.expired_microdollars + line.due_paid_microdollars),
    ).toEqual([5_500, 999, 998])
    const equal = await read(
      ['a', 'b', 'c', 'd'].map((id) => userLine({ user_id: id, expired_microdollars: 5 })),
    )
    expect(equal?.changes.first.map((line) => line.user_id)).toEqual(['a', 'b', 'c'])
  })

  test('what came back in a rollback ranks as what expired', async () => {
    const found = await read([
      userLine({ user_id: 'a', expired_microdollars: -1 }),
      userLine({ user_id: 'b', expired_microdollars: -9, correction_microdollars: -2 }),
    ])
    expect(found?.changes.first.map((line) => line.user_id)).toEqual(['b', 'a'])
    expect(found?.corrections).toMatchObject({ all: 1, first: [{ user_id: 'b' }] })
  })

  test('nothing, once the person has asked to stop', async () => {
    expect(await read([userLine({ user_id: 'a' })], [], { stop: () => true })).toBeNull()
  })

  test('empty logs have nothing to show', async () => {
    const found = await read([])
    expect(found && highlightTables(card, found, { lookInto: () => 'less log' }, testOutput())).toBe('')
  })
})

test('the tables, each with how to see all of it', async () => {
  const found = await read(
    [
      userLine({
        user_id: 'ada',
        expired_microdollars: 9_500_000,
        balance_before_microdollars: 12_500_000,
        final_balance_microdollars: 3_000_000,
        flags: ['auto_top_up_risk'],
      }),
      userLine({
        user_id: 'bob',
        expired_microdollars: 5_000_001,
        balance_before_microdollars: 1,
        correction_microdollars: 5_000_000,
      }),
      userLine({
        user_id: 'evil\u001b[2J',
        outcome: 'needs_review',
        email: null,
        final_balance_microdollars: 1_234_000_000,
      }),
    ],
    [
      {
        user_id: 'joe',
        stage: 'apply',
        error: 'PostgresError',
        sqlstate: null,
        message: `no ${'x'.repeat(100)}`,
        extra: 1,
      },
    ],
  )
  const lookInto = (url: string, texts?: readonly string[]) =>
    `look ${url.split('/')[4]} ${texts?.join(' ') ?? ''}`
  expect(found && highlightTables(card, found, { lookInto }, testOutput())).toBe(`
Largest changes
  user         id       before       free  due paid  correction  after
  ada@kilo.ai  ada  $12.50      $9.50         $0.00       $0.00  $3.00
  bob@kilo.ai  bob   $0.000001  $5.000001     $0.00       $5.00  $0.00
  See all: look users 

Corrections
  user         id      before    expired  correction  after
  bob@kilo.ai  bob  $0.000001  $5.000001       $5.00  $0.00
  See all: look mutations accounting_adjustment

Failures
  id   stage  error          message
  joe  apply  PostgresError  no ${'x'.repeat(100)}
  See all: look errors 

Users with warnings
  user         id            after  warning
  ada@kilo.ai  ada           $3.00  auto_top_up_risk
  –            evil?[2J  $1,234.00  needs_review
  See all: look users "flags":[" "outcome":"too_recent" "outcome":"needs_review"
`)
})

test.each([60, 80, 120])('in %i columns no row is wider, and amounts stay whole', async (columns) => {
  const email = 'a.rather.long.name.of.a.person+with.more@kilocode.ai'
  const found = await read([
    userLine({
      user_id: 'oauth/google:1234567890123456789012',
      email,
      expired_microdollars: 123_456_789_012,
      correction_microdollars: 1_000_001,
      final_balance_microdollars: 7_000_000_000,
      flags: ['auto_top_up_risk', 'due_paid_credit', 'overdrawn_before', 'negative_dated'],
    }),
  ])
  const out = testOutput({ columns })
  const text = found === null ? '' : highlightTables(card, found, { lookInto: () => 'less log' }, out)
  expect(text.split('\n').filter((line) => line.length > columns)).toEqual([])
  expect(text).toContain('$123,456.789012')
})
