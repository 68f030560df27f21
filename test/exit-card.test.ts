import { expect, test } from 'vitest'
import * as fc from 'fast-check'
import { dollars, microdollarsOf } from '../lambda/exit-card.ts'

test.each([
  [0, '$0.00'],
  [1, '$0.000001'],
  [-1, '-$0.000001'],
  [10, '$0.00001'],
  [10_000, '$0.01'],
  [100_000, '$0.10'],
  [1_000_000, '$1.00'],
  [1_200_000, '$1.20'],
  [1_234_567, '$1.234567'],
  [-5_000_000, '-$5.00'],
  [999_999_999_999, '$999,999.999999'],
  [1_000_000_000_000, '$1,000,000.00'],
  [4_812_000_000, '$4,812.00'],
  [Number.MAX_SAFE_INTEGER, '$9,007,199,254.740991'],
  [Number.MIN_SAFE_INTEGER, '-$9,007,199,254.740991'],
])('%d microdollars are %s', (microdollars, text) => {
  expect(dollars(microdollars)).toBe(text)
})

test('no digit of an amount is lost, and cents are always shown', () => {
  fc.assert(
    fc.property(fc.maxSafeInteger(), (microdollars) => {
      const text = dollars(microdollars)
      expect(text).toMatch(/^-?\$\d{1,3}(,\d{3})*\.\d{2,6}$/)
      const [whole = '', fraction = ''] = text.replaceAll(/[$,]/g, '').split('.')
      expect(BigInt(`${whole}${fraction.padEnd(6, '0')}`)).toBe(BigInt(microdollars))
    }),
  )
})

test.each([
  [250_000, 250_000_000_000],
  [0.1 + 0.2, 300_000],
  [0, 0],
  [59.999999, 59_999_999],
])('%d US dollars are %d microdollars', (usd, microdollars) => {
  expect(microdollarsOf(usd)).toBe(microdollars)
})
