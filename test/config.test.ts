import { generateKeyPairSync } from 'node:crypto'
import { expect, test } from 'vitest'
import { InvalidConfiguration, problemOfDatabaseUrl, readConfig } from '../lambda/config.ts'

const SECRET = 'hunter2'
const MINIMAL = { LOG_BUCKET: 'logs', DATABASE_URL: `postgres://job:${SECRET}@db.example.com:5432/app` }

test('defaults are those of the contract', () => {
  expect(readConfig(MINIMAL)).toMatchObject({
    bucket: 'logs',
    database: { url: MINIMAL.DATABASE_URL },
    readonlyDatabase: { url: MINIMAL.DATABASE_URL },
    domains: ['kilo.ai', 'kilocode.ai'],
    limits: { users: 2_000, grants: 50_000, usd: 250_000, correctionsUsd: 10_000 },
    maxFailedUsers: 20,
    maxFailedPercent: 5,
    minGrantAgeSeconds: 60,
    planMaxAgeHours: 24,
    correctionDescriptions: ['Correction to $0 after expiring internal free credits'],
    reviewCategories: [
      'orb_credit_expired',
      'orb_credit_voided',
      'kilo-pass-upgrade-bonus-reversal:*',
      'kilo-pass-store-refund:*',
      'admin-cancel-refund-kilo-pass',
      'admin-cancel-kilo-pass-no-refund',
      'manual_decrement',
      'orb_manual_decrement',
      'store-credit-refund:*',
    ],
    excludedCategories: [],
    excludedUserIds: [],
    ledgerFormerly: [],
    acceptedReferences: [],
    allowWrites: true,
    databaseAuth: 'password',
    databaseHost: null,
    databaseName: null,
    signingKeyArn: null,
    signingPublicKeys: null,
  })
})

test('every other value is read as it is configured', () => {
  const env = {
    ...MINIMAL,
    REVIEW_CATEGORIES: 'manual_decrement, store-credit-refund:*',
    EXCLUDED_CATEGORIES: 'referral*',
    EXCLUDED_USER_IDS: 'oauth/google:1, ada@kilo.ai',
    LEDGER_FORMERLY: '7301234567890123456/16384/app',
    ACCEPTED_REFERENCES: 'a_fkey,b_fkey',
    ALLOW_WRITES: 'false',
    DATABASE_AUTH: 'iam',
    DATABASE_HOST: 'db.example.com',
    DATABASE_NAME: 'app',
    SIGNING_KEY_ARN: 'arn:aws:kms:eu-central-1:123456789012:key/0a1b2c3d-0000-4000-8000-0123456789ab',
  }
  expect(readConfig(env)).toMatchObject({
    reviewCategories: ['manual_decrement', 'store-credit-refund:*'],
    excludedCategories: ['referral*'],
    excludedUserIds: ['oauth/google:1', 'ada@kilo.ai'],
    ledgerFormerly: ['7301234567890123456/16384/app'],
    acceptedReferences: ['a_fkey', 'b_fkey'],
    allowWrites: false,
    databaseAuth: 'iam',
    databaseHost: 'db.example.com',
    databaseName: 'app',
    signingKeyArn: env.SIGNING_KEY_ARN,
  })
})

test('a password that begins the parameters of a URL, since it is not encoded, is not quoted', () => {
  const problem = problemOfDatabaseUrl(`postgres://job:1?${SECRET}@db.example.com/app`)
  expect(problem).toContain('percent-encoded')
  expect(problem).not.toContain(SECRET)
})

test('0 means zero, and amounts may have decimals', () => {
  const env = {
    ...MINIMAL,
    LIMIT_USERS: '0',
    LIMIT_USD: '0.5',
    LIMIT_CORRECTIONS_USD: '0',
    MIN_GRANT_AGE_SECONDS: '0',
    MAX_FAILED_PERCENT: '2.5',
  }
  expect(readConfig(env)).toMatchObject({
    limits: { users: 0, usd: 0.5, correctionsUsd: 0 },
    minGrantAgeSeconds: 0,
    maxFailedPercent: 2.5,
  })
})

test('domains come in any case, with spaces, and once each', () => {
  expect(readConfig({ ...MINIMAL, INTERNAL_DOMAINS: ' Kilo.AI , kilo.ai,example.org' }).domains).toEqual([
    'example.org',
    'kilo.ai',
  ])
})

test('dry runs may have a database of their own', () => {
  const secret = 'arn:aws:secretsmanager:us-east-1:123456789012:secret:x'
  const { database, readonlyDatabase } = readConfig({ ...MINIMAL, READONLY_DATABASE_SECRET_ARN: secret })
  expect({ database, readonlyDatabase }).toEqual({
    database: { url: MINIMAL.DATABASE_URL },
    readonlyDatabase: { secretArn: secret },
  })
})

test.each<[string, Record<string, string | undefined>]>([
  ['LOG_BUCKET', { LOG_BUCKET: undefined }],
  ['LOG_BUCKET', { LOG_BUCKET: '' }],
  ['DATABASE_SECRET_ARN', { DATABASE_URL: undefined }],
  ['DATABASE_URL', { DATABASE_URL: `mysql://job:${SECRET}@db/app` }],
  ['DATABASE_URL', { DATABASE_URL: SECRET }],
  ['DATABASE_URL', { DATABASE_URL: '' }],
  ['DATABASE_SECRET_ARN', { DATABASE_URL: undefined, DATABASE_SECRET_ARN: SECRET }],
  ...[
    '',
    ' ',
    ',',
    'ai',
    '.ai',
    'kilo.ai,',
    'kilo',
    '*.kilo.ai',
    '@kilo.ai',
    'kilo.ai;x.y',
    '%',
    'a..b',
    '10.0.0.1',
    'kilo.ai.',
    'K\u0130LO.AI',
    '\u212Ailo.ai',
  ].map((domains): [string, Record<string, string>] => ['INTERNAL_DOMAINS', { INTERNAL_DOMAINS: domains }]),
  ...['', '-1', '1.5', 'many', '1e3', 'Infinity', ' 5', '99999999999999999999'].map(
    (users): [string, Record<string, string>] => ['LIMIT_USERS', { LIMIT_USERS: users }],
  ),
  ...['', '-0.5', 'NaN', '1,000'].map((usd): [string, Record<string, string>] => [
    'LIMIT_USD',
    { LIMIT_USD: usd },
  ]),
  ['LIMIT_GRANTS', { LIMIT_GRANTS: '-5' }],
  ['LIMIT_CORRECTIONS_USD', { LIMIT_CORRECTIONS_USD: 'none' }],
  ['MAX_FAILED_USERS', { MAX_FAILED_USERS: '2.5' }],
  ['MAX_FAILED_PERCENT', { MAX_FAILED_PERCENT: '5%' }],
  ['MIN_GRANT_AGE_SECONDS', { MIN_GRANT_AGE_SECONDS: '60s' }],
  ['PLAN_MAX_AGE_HOURS', { PLAN_MAX_AGE_HOURS: '-1' }],
  ...['', 'Correction', '[""]', '[1]', '{}'].map((text): [string, Record<string, string>] => [
    'CORRECTION_DESCRIPTIONS',
    { CORRECTION_DESCRIPTIONS: text },
  ]),
  ...['', ' , ', '*promo', 'a*b'].map((list): [string, Record<string, string>] => [
    'REVIEW_CATEGORIES',
    { REVIEW_CATEGORIES: list },
  ]),
  ['EXCLUDED_CATEGORIES', { EXCLUDED_CATEGORIES: 'promo,**' }],
  ['ACCEPTED_REFERENCES', { ACCEPTED_REFERENCES: 'a fkey' }],
  ...['', 'no', 'FALSE', '0'].map((word): [string, Record<string, string>] => [
    'ALLOW_WRITES',
    { ALLOW_WRITES: word },
  ]),
  ['DATABASE_AUTH', { DATABASE_AUTH: 'IAM' }],
  ['DATABASE_HOST', { DATABASE_HOST: '' }],
  ['DATABASE_NAME', { DATABASE_NAME: '' }],
  ['SIGNING_KEY_ARN', { SIGNING_KEY_ARN: 'alias/signing' }],
  ['SIGNING_KEY_ARN', { SIGNING_KEY_ARN: 'arn:aws:kms:eu-central-1:123456789012:alias/signing' }],
  ['SIGNING_PUBLIC_KEYS', { SIGNING_PUBLIC_KEYS: 'key.pem' }],
  ['READONLY_DATABASE_URL', { READONLY_DATABASE_URL: `mysql://job:${SECRET}@db/app` }],
])('%s is refused by its name, and no secret is shown: %j', (name, env) => {
  const read = (): unknown => readConfig({ ...MINIMAL, ...env })
  expect(read).toThrow(InvalidConfiguration)
  expect(read).toThrow(name)
  expect(read).not.toThrow(SECRET)
})

test('everything that is wrong is reported at once', () => {
  expect(() => readConfig({ LIMIT_USERS: 'x', LIMIT_USD: 'y' })).toThrow(/LOG_BUCKET.*LIMIT_USERS.*LIMIT_USD/)
})

test.each(['DATABASE_URL', 'READONLY_DATABASE_URL'])(
  'a parameter of %s that this job does not take is to be removed, and only that variable is named',
  (name) => {
    const url = `${MINIMAL.DATABASE_URL}?sslmode=require&pgbouncer=true&channel_binding=require`
    expect(() => readConfig({ ...MINIMAL, [name]: url })).toThrow(
      `The configuration is not valid: ${name} has the parameters "pgbouncer" and "channel_binding", ` +
        'which this job does not take: remove them.',
    )
  },
)

test('a database URL may have the parameters that this job takes', () => {
  const url = `${MINIMAL.DATABASE_URL}?sslmode=verify-full&application_name=job&search_path=ledger`
  expect(readConfig({ ...MINIMAL, DATABASE_URL: url }).database).toEqual({ url })
})

test('public keys are read as PEM, and as the AWS CLI prints them; one of another kind is refused', () => {
  const keys = [1, 2].map(() => generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)
  const pem = keys.map((key) => key.export({ type: 'spki', format: 'pem' })).join('')
  const printed = keys.map((key) => key.export({ type: 'spki', format: 'der' }).toString('base64'))
  for (const text of [pem, printed.join(','), `${printed.join(' , ')}\n`]) {
    const { signingPublicKeys } = readConfig({ ...MINIMAL, SIGNING_PUBLIC_KEYS: text })
    expect(signingPublicKeys?.map((key, at) => keys[at]?.equals(key))).toEqual([true, true])
  }
  for (const other of [generateKeyPairSync('ed25519'), generateKeyPairSync('ec', { namedCurve: 'P-384' })]) {
    const text = other.publicKey.export({ type: 'spki', format: 'pem' }).toString()
    for (const wrong of [text, `${pem}${text}`]) {
      expect(() => readConfig({ ...MINIMAL, SIGNING_PUBLIC_KEYS: wrong })).toThrow(
        'SIGNING_PUBLIC_KEYS must hold public keys of ECC_NIST_P256 keys',
      )
    }
  }
})
