import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import postgres, { type Sql } from 'postgres'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { connect, type Sql as JobSql } from '../../lambda/ledger/connection/connect.ts'
import { findNamedUsers, readMatchingUsers } from '../../lambda/ledger/matching.ts'
import { isInternal } from '../../lambda/rules/internal.ts'
import { fc, SEED } from '../rules/fuzz.ts'
import { insertUser } from '../support/ledger.ts'

const DOMAINS = ['kilocode.ai', 'kilo.ai']
const INTERNAL = ['ada@kilo.ai', 'BEA@KILO.AI', 'Cy@KiloCode.AI', 'İ@kilo.ai']
const OUTSIDERS = [
  'dee@KİLO.AI',
  'dee@kılo.ai',
  'eve@\u212Ailo.ai',
  'eve@KILO\u212A.ai',
  'eve@ki̇lo.ai',
  'fay@KİLOCODE.AI',
  'gil@KILO.Aİ',
]

/** A letter of a domain, or one that some locale folds to it. */
const letter = fc.constantFrom(
  ...'kKiIlLoOcCdDeEaA.@'.split(''),
  'İ',
  'ı',
  '\u212A',
  'ſ',
  '\u0307',
  'Å',
  '\u212B',
  '%',
  '_',
  '\\',
)
const nearly = fc
  .constantFrom(...DOMAINS)
  .chain((domain) =>
    fc
      .tuple(
        ...domain
          .split('')
          .map((char) => fc.constantFrom(char, char, char.toUpperCase(), ...variantsOf(char))),
      )
      .map((chars) => chars.join('')),
  )
const email = fc
  .tuple(
    fc.string({ unit: letter, maxLength: 4 }),
    fc.oneof(nearly, fc.string({ unit: letter, maxLength: 12 })),
  )
  .map(([local, domain]) => `${local}@${domain}`)

function variantsOf(char: string): string[] {
  return { i: ['İ', 'ı', 'i̇'], k: ['\u212A'] }[char] ?? []
}

describe.each([
  ['C.UTF-8', "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"],
  ['en-US of ICU', "LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"],
  ['tr-TR of ICU', "LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR'"],
])(`in a database with the collation %s (FC_SEED=${SEED})`, (_, locale) => {
  const name = `ledger_${randomBytes(6).toString('hex')}`
  const url = inject('postgresUrl').replace(/\/[^/]*$/, `/${name}`)
  const admin = postgres(inject('postgresUrl'), { max: 1 })
  let sql: Sql
  let job: JobSql

  beforeAll(async () => {
    await admin.unsafe(`CREATE DATABASE ${name} ${locale} TEMPLATE template0`)
    sql = postgres(url, { max: 1, onnotice: () => undefined })
    job = connect({ url }, 1)
    await sql.unsafe(await readFile(new URL('../../bin/sandbox/schema.sql', import.meta.url), 'utf8'))
  })
  afterAll(async () => {
    await job.end()
    await sql.end()
    await admin.unsafe(`DROP DATABASE ${name} WITH (FORCE)`)
    await admin.end()
  })

  /** The e-mails that SQL selects among these users. */
  async function selected(emails: readonly string[]): Promise<string[]> {
    await sql`TRUNCATE kilocode_users, credit_transactions CASCADE`
    for (const address of emails) await insertUser(sql, { id: address, google_user_email: address })
    const found: string[] = []
    const settings = { correctionDescriptions: [], categories: null, excludedCategories: [] }
    await readMatchingUsers(job, { domains: DOMAINS, userIds: null }, settings, (user) => {
      found.push(user.email)
    })
    return found.toSorted()
  }

  test('internal users are found in any case, and no outsider whose e-mail folds alike elsewhere', async () => {
    const found = await selected([...INTERNAL, ...OUTSIDERS])
    expect(found).toEqual(INTERNAL.toSorted())
    expect(found.every((address) => isInternal(address, DOMAINS))).toBe(true)
  })

  test('SQL and code never disagree about an e-mail', async () => {
    const emails = [...new Set(fc.sample(email, { seed: SEED, numRuns: 600 }))]
    const found = await selected(emails)
    expect(found).toEqual(emails.filter((address) => isInternal(address, DOMAINS)).toSorted())
    expect(found.length).toBeGreaterThan(20)
  })

  test('a user is named by e-mail in any case of ASCII letters, and by no other letters', async () => {
    await selected(['BEA@KILO.AI', 'dee@KİLO.AI'])
    const named = await findNamedUsers(job, ['bea@kilo.ai', 'dee@kilo.ai', 'DEE@KİLO.ai', 'BEA@KİLO.AI'])
    expect(named.map(({ place, email: address }) => [place, address])).toEqual([
      [0, 'BEA@KILO.AI'],
      [2, 'dee@KİLO.AI'],
    ])
  })
})
