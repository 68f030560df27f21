import { describe, expect, test } from 'vitest'
import { add, parseMicrodollars, UnusableValue } from '../../lambda/rules/amounts.ts'

const MOST = Number.MAX_SAFE_INTEGER

describe('a stored bigint', () => {
  test.each([
    ['0', 0],
    ['-1', -1],
    ['4812000000', 4_812_000_000],
    ['9007199254740991', MOST],
    ['-9007199254740991', -MOST],
  ])('%s is a number', (text, value) => {
    expect(parseMicrodollars('amount_microdollars', text)).toBe(value)
  })

  test.each([
    '9007199254740992',
    '9007199254740993',
    '-9007199254740992',
    '9223372036854775807',
    '-9223372036854775808',
  ])('%s is an error that names its column, never rounded', (text) => {
    expect(() => parseMicrodollars('amount_microdollars', text)).toThrow(UnusableValue)
    expect(() => parseMicrodollars('amount_microdollars', text)).toThrow(`amount_microdollars is ${text}`)
  })

  test.each(['null', 'NaN', 'Infinity', '1.5', 'ten'])('%s is none', (text) => {
    expect(() => parseMicrodollars('amount_microdollars', text)).toThrow(UnusableValue)
  })
})

describe('a sum', () => {
  test('is exact up to the last safe integer', () => {
    expect(add(MOST - 1, 1)).toBe(MOST)
    expect(add(1 - MOST, -1)).toBe(-MOST)
  })

  test.each([
    [MOST, 1],
    [-MOST, -1],
    [MOST, MOST],
    [NaN, 1],
    [Infinity, -Infinity],
    [0.5, 1],
  ])('of %d and %d is an error', (a, b) => {
    expect(() => add(a, b)).toThrow(UnusableValue)
  })
})
