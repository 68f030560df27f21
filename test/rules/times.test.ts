import { describe, expect, test } from 'vitest'
import { UnusableValue } from '../../lambda/rules/amounts.ts'
import {
  compareTimes,
  fromPostgres,
  instantToLedgerTime,
  microsBelowMilli,
  millisOf,
} from '../../lambda/rules/times.ts'

describe('the text that PostgreSQL prints', () => {
  test.each([
    ['2026-11-22 06:12:30.123456+00', '2026-11-22T06:12:30.123456Z'],
    ['2026-11-22 06:12:30.1+00', '2026-11-22T06:12:30.100000Z'],
    ['2026-11-22 06:12:30.000001+00', '2026-11-22T06:12:30.000001Z'],
    ['2026-11-22 06:12:30+00', '2026-11-22T06:12:30.000000Z'],
    ['0044-03-15 12:00:00+00 BC', '0044-03-15T12:00:00.000000Z BC'],
    ['12026-01-01 00:00:00+00', '12026-01-01T00:00:00.000000Z'],
    ['infinity', 'infinity'],
    ['-infinity', '-infinity'],
  ])('%s becomes %s', (text, time) => {
    expect(fromPostgres(text)).toBe(time)
  })

  test.each([
    ['another time zone', '2026-11-22 06:12:30.123456+01'],
    ['a zone with minutes', '2026-11-22 06:12:30+00:00'],
    ['no time zone', '2026-11-22 06:12:30'],
    ['another date style', '11/22/2026 06:12:30 UTC'],
    ['text that is ISO already', '2026-11-22T06:12:30.123456Z'],
    ['seven decimals', '2026-11-22 06:12:30.1234567+00'],
    ['a line too many', '2026-11-22 06:12:30+00\n'],
    ['nothing', ''],
  ])('%s is refused', (_, text) => {
    expect(() => fromPostgres(text)).toThrow(UnusableValue)
  })
})

describe('the instant of a run', () => {
  test('gets the six decimals of the ledger', () => {
    expect(instantToLedgerTime('2026-11-22T06:12:30.123Z')).toBe('2026-11-22T06:12:30.123000Z')
  })

  test('stays as it is when it has them', () => {
    expect(instantToLedgerTime('2026-11-22T06:12:30.123000Z')).toBe('2026-11-22T06:12:30.123000Z')
  })
})

describe('milliseconds', () => {
  test.each([
    ['1970-01-01T00:00:00.000999Z', 0],
    ['1970-01-01T00:00:00.001000Z', 1],
    ['1969-12-31T23:59:59.999999Z', -1],
    ['0001-01-01T00:00:00.000000Z', -62_135_596_800_000],
    ['0001-12-31T00:00:00.000000Z BC', -62_135_683_200_000],
    ['0002-12-31T00:00:00.000000Z BC', -62_167_305_600_000],
    ['10000-01-01T00:00:00.000000Z', 253_402_300_800_000],
    ['infinity', Infinity],
    ['-infinity', -Infinity],
  ])('%s is %d', (time, millis) => {
    expect(millisOf(time)).toBe(millis)
  })

  test.each([
    '294276-12-31T23:59:59.999999Z',
    '2026-13-01T00:00:00.000000Z',
    '2026-11-22T06:12:30.123Z',
    'soon',
    '',
  ])('%s cannot be compared', (time) => {
    expect(() => millisOf(time)).toThrow(UnusableValue)
  })

  test('the microseconds below them', () => {
    expect(microsBelowMilli('2026-11-22T06:12:30.123456Z')).toBe(456)
    expect(microsBelowMilli('infinity')).toBe(0)
  })
})

describe('the order of times', () => {
  const inOrder = [
    '-infinity',
    '0044-03-15T12:00:00.000000Z BC',
    '0044-03-15T12:00:00.000001Z BC',
    '0001-01-01T00:00:00.000000Z',
    '2026-11-22T06:12:30.122999Z',
    '2026-11-22T06:12:30.123000Z',
    '2026-11-22T06:12:30.123001Z',
    '12026-01-01T00:00:00.000000Z',
    'infinity',
  ]

  test('is exact to the microsecond, over all eras, between the two infinities', () => {
    expect(inOrder.toReversed().toSorted(compareTimes)).toEqual(inOrder)
  })

  test.each(inOrder)('%s equals itself', (time) => {
    expect(compareTimes(time, time)).toBe(0)
  })
})
