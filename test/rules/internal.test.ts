import { describe, expect, test } from 'vitest'
import { foldAscii, isDomainName, isInternal } from '../../lambda/rules/internal.ts'

const DOMAINS = ['kilocode.ai', 'kilo.ai']

describe('an internal e-mail', () => {
  test.each([
    ['of one of the domains', 'ada@kilo.ai'],
    ['of another one', 'ada@kilocode.ai'],
    ['in upper case', 'X@Kilo.AI'],
    ['with a tag', 'ada+test@kilo.ai'],
    ['with several @, of which the last counts', 'ada@example.com@kilo.ai'],
    ['with a quoted @', '"ada@example.com"@kilo.ai'],
    ['without a local part', '@kilo.ai'],
  ])('%s', (_, email) => {
    expect(isInternal(email, DOMAINS)).toBe(true)
  })
})

describe('an e-mail that is not internal', () => {
  test.each([
    ['of a subdomain', 'x@eu.kilo.ai'],
    ['of a longer name', 'x@notkilo.ai'],
    ['of a longer domain', 'x@kilo.ai.example.com'],
    ['of a name with another dot', 'x@kilo-ai'],
    ['where a wildcard would match', 'x@kiloxai'],
    ['with a dot at the end', 'x@kilo.ai.'],
    ['with a space at the end', 'x@kilo.ai '],
    ['with a line break at the end', 'x@kilo.ai\n'],
    ['with a space after the @', 'x@ kilo.ai'],
    ['with a Cyrillic letter', 'x@kilо.ai'],
    ['with a dotless ı', 'x@kılo.ai'],
    ['with a dotted İ (U+0130)', 'dee@KİLO.AI'],
    ['with an i and a combining dot', 'dee@ki\u0307lo.ai'],
    ['with a Kelvin sign', 'eve@\u212Ailo.ai'],
    ['with full-width letters', 'x@ｋｉｌｏ.ai'],
    ['with the domain before the last @', 'x@kilo.ai@example.com'],
    ['with the domain in quotes', '"x@kilo.ai"'],
    ['with the domain as local part', 'kilo.ai@example.com'],
    ['without an @', 'kilo.ai'],
    ['with nothing after the @', 'x@'],
    ['that is empty', ''],
  ])('%s', (_, email) => {
    expect(isInternal(email, DOMAINS)).toBe(false)
  })

  test('without domains no user is internal', () => {
    expect(isInternal('ada@kilo.ai', [])).toBe(false)
  })
})

describe('a domain name', () => {
  const label63 = 'a'.repeat(63)

  test.each(['kilo.ai', 'eu.kilo.ai', 'k.ai', '3m.com', 'xn--p1ai.xn--p1ai', 'a-b.co.uk', `${label63}.ai`])(
    '%s is one',
    (text) => {
      expect(isDomainName(text)).toBe(true)
    },
  )

  test.each([
    ['empty', ''],
    ['a bare top-level domain', 'ai'],
    ['in upper case', 'Kilo.ai'],
    ['an e-mail', 'ada@kilo.ai'],
    ['with an @ in front', '@kilo.ai'],
    ['with a dot in front', '.kilo.ai'],
    ['with a dot at the end', 'kilo.ai.'],
    ['with two dots', 'kilo..ai'],
    ['with a dash in front', '-kilo.ai'],
    ['with a dash at the end', 'kilo-.ai'],
    ['with a wildcard', '%.ai'],
    ['with another wildcard', 'ki_o.ai'],
    ['with a star', '*.kilo.ai'],
    ['with a backslash', 'kilo\\.ai'],
    ['with a space', 'kilo.ai '],
    ['with a line break', 'kilo.ai\n'],
    ['two of them', 'kilo.ai,kilocode.ai'],
    ['beyond ASCII', 'kılo.ai'],
    ['an address', '10.0.0.1'],
    ['a label of 64', `${label63}a.ai`],
    ['of 254 letters', `${'a.'.repeat(126)}ai`],
  ])('%s is none', (_, text) => {
    expect(isDomainName(text)).toBe(false)
  })

  test('253 letters still are', () => {
    expect(isDomainName(`${'a.'.repeat(125)}aai`)).toBe(true)
  })
})

test('folding changes A to Z and nothing else', () => {
  expect(foldAscii('ABCXYZ abcxyz 0-9 @[`{ \u212A İ ı Å ß Σ')).toBe('abcxyz abcxyz 0-9 @[`{ \u212A İ ı Å ß Σ')
})
