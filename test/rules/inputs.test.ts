import { describe, expect, test } from 'vitest'
import { INPUT_COLUMNS, packInputs, UnreadableInputs, unpackInputs } from '../../lambda/rules/inputs.ts'
import { planUser } from '../../lambda/rules/plan.ts'
import { free, linkTo, planOf, userWith } from './examples.ts'
import { fc, SEED } from './fuzz.ts'
import { ledgers } from './ledgers.ts'

const KNOWN = { named: false, excluded: false, takenLinks: new Set<string>() }
const json = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

test('the order of the values is fixed', () => {
  expect(INPUT_COLUMNS).toEqual({
    user: [
      'id',
      'email',
      'usedMicrodollars',
      'acquiredMicrodollars',
      'nextCreditExpirationAt',
      'autoTopUpEnabled',
    ],
    row: [
      'id',
      'amountMicrodollars',
      'expirationBaselineMicrodollars',
      'originalBaselineMicrodollars',
      'isFree',
      'description',
      'creditCategory',
      'originalTransactionId',
      'expiryDate',
      'createdAt',
      'organizationId',
    ],
    circumstances: ['named', 'excluded', 'takenLinks'],
  })
  const user = userWith(1, 2, { nextCreditExpirationAt: 'infinity', autoTopUpEnabled: true })
  const known = { named: true, excluded: false, takenLinks: new Set(['B', 'A']) }
  expect(packInputs(user, [free('A', 3)], known)).toEqual([
    1,
    ['ada', 'ada@kilo.ai', 1_000_000, 2_000_000, 'infinity', true],
    [['A', 3_000_000, null, 0, true, 'Promo', 'promo', null, null, '2025-11-22T00:00:00.000000Z', null]],
    [true, false, ['A', 'B']],
  ])
})

test('an organization row is kept where it links to a personal row, and omitted otherwise', () => {
  const grant = free('A', 3)
  const organizationId = 'organization'
  const link = linkTo(grant, 3, { organizationId, creditCategory: 'refund' })
  const others = [free('O', 5, { organizationId }), linkTo(free('O', 5), 1, { organizationId })]
  const { rows } = unpackInputs(packInputs(userWith(0, 3), [grant, link, ...others], KNOWN))
  expect(rows).toEqual([grant, link])
  expect(planOf(userWith(0, 3), rows)).toEqual(planOf(userWith(0, 3), [grant, link, ...others]))
})

describe(`over random ledgers (FC_SEED=${SEED})`, () => {
  test('what was packed, printed and read back gives the same plan', () => {
    fc.assert(
      fc.property(ledgers, ({ user, rows, circumstances, settings }) => {
        const read = unpackInputs(json(packInputs(user, rows, circumstances)))
        expect(planUser(read.user, read.rows, settings, read.circumstances)).toEqual(
          planUser(user, rows, settings, circumstances),
        )
      }),
    )
  })

  test('and packs to the same inputs again', () => {
    fc.assert(
      fc.property(ledgers, ({ user, rows, circumstances }) => {
        const packed = packInputs(user, rows, circumstances)
        const read = unpackInputs(json(packed))
        expect(packInputs(read.user, read.rows, read.circumstances)).toEqual(packed)
        expect(read.user).toEqual(user)
        expect(read.circumstances).toEqual(circumstances)
      }),
    )
  })
})

describe('anything else is refused, without a value in the message', () => {
  const packed = packInputs(userWith(0, 3), [free('A', 3)], KNOWN)
  const [, user, [row = []], known] = packed
  const replaced = (values: readonly unknown[], index: number, value: unknown): unknown[] =>
    values.map((old, at) => (at === index ? value : old))

  test.each<[string, unknown]>([
    ['nothing', undefined],
    ['an object', { user }],
    ['another version', [2, user, [row], known]],
    ['a part too few', [1, user, [row]]],
    ['a part too many', [...packed, []]],
    ['a user value too few', [1, user.slice(1), [row], known]],
    ['a row value too few', [1, user, [row.slice(0, -1)], known]],
    ['a row value too many', [1, user, [[...row, null]], known]],
    ['an amount as text', [1, user, [replaced(row, 1, '3000000')], known]],
    ['an amount outside the safe integers', [1, user, [replaced(row, 1, 2 ** 53)], known]],
    ['an amount with a fraction', [1, replaced(user, 2, 0.5), [row], known]],
    ['a missing amount', [1, replaced(user, 3, null), [row], known]],
    ['a time as a number', [1, user, [replaced(row, 9, 0)], known]],
    ['a flag as a number', [1, user, [row], replaced(known, 0, 1)]],
    ['taken links that are no list', [1, user, [row], replaced(known, 2, 'A')]],
  ])('%s', (_, value) => {
    expect(() => unpackInputs(value)).toThrow(UnreadableInputs)
    expect(() => unpackInputs(value)).toThrow(
      /^The inputs cannot be read: (the whole|the user|row 0|the circ)/,
    )
    expect(() => unpackInputs(value)).not.toThrow('kilo.ai')
  })
})
