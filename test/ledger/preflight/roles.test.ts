import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import postgres from 'postgres'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freshBucket, type TestBucket } from '../../support/bucket.ts'
import { failureOf, invokeJob } from '../../support/job.ts'
import { dump, freshDatabase, insertTransaction, insertUser } from '../../support/ledger.ts'

const DRY_RUN = 'credit_expiry_dry_run'
const EXECUTE = 'credit_expiry_execute'

let database: Awaited<ReturnType<typeof freshDatabase>>
let bucket: TestBucket
/** Roles belong to the whole server: each run of this file has its own. */
const suffix = randomBytes(6).toString('hex')
const roles = [DRY_RUN, EXECUTE].map((role) => `${role}_${suffix}`)

beforeAll(async () => {
  database = await freshDatabase()
  bucket = await freshBucket()
  const statements = await readFile(new URL('../../../docs/roles.sql', import.meta.url), 'utf8')
  await database.sql.unsafe(
    statements.replaceAll(DRY_RUN, `${DRY_RUN}_${suffix}`).replaceAll(EXECUTE, `${EXECUTE}_${suffix}`),
  )
  for (const role of roles) await database.sql.unsafe(`ALTER ROLE ${role} PASSWORD 'secret'`)
})
afterAll(async () => {
  for (const role of roles) await database.sql.unsafe(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
  await database.drop()
})

function urlAs(role: string): string {
  const url = new URL(database.url)
  url.username = `${role}_${suffix}`
  url.password = 'secret'
  return url.href
}

test('dry run, execute with a correction, and rollback need only the rights of docs/roles.sql', async () => {
  const spent = await insertUser(database.sql, {
    microdollars_used: 4_000_000,
    total_microdollars_acquired: 10_000_000,
  })
  await insertTransaction(database.sql, { kilo_user_id: spent.id })
  const clawedBack = await insertUser(database.sql, {})
  await insertTransaction(database.sql, { kilo_user_id: clawedBack.id })
  const place = {
    databaseUrl: urlAs(EXECUTE),
    bucket,
    env: { READONLY_DATABASE_URL: urlAs(DRY_RUN) },
  }
  const before = await dump(database.sql)
  const untouched = await dump(database.sql, { updatedAt: false })

  const dry = await invokeJob(place, {})
  expect(dry).toMatchObject({
    status: 'complete',
    totals: { usersProcessed: 2, usersCorrected: 1, expired: '$16.00' },
  })
  expect(await dump(database.sql)).toEqual(before)

  const card = await invokeJob(place, { execute: true })
  expect(card).toMatchObject({
    status: 'complete',
    totals: { usersProcessed: 2, usersCorrected: 1, expired: '$16.00', usersFailed: 0 },
  })
  expect(await dump(database.sql)).not.toEqual(before)

  expect(await invokeJob(place, { rollback: card.runId })).toMatchObject({
    status: 'complete',
    totals: { usersProcessed: 2 },
  })
  expect(await invokeJob(place, { rollback: card.runId, execute: true })).toMatchObject({
    status: 'complete',
    totals: { usersProcessed: 2 },
  })
  expect(await dump(database.sql, { updatedAt: false })).toEqual(untouched)
})

test('without the right to read a referencing table a rollback is refused with the GRANT; a dry run warns before', async () => {
  const user = await insertUser(database.sql, { total_microdollars_acquired: 10_000_000 })
  await insertTransaction(database.sql, { kilo_user_id: user.id })
  for (const role of roles) await database.sql.unsafe(`REVOKE SELECT ON kilo_pass_audit_log FROM ${role}`)
  try {
    const place = { databaseUrl: urlAs(EXECUTE), bucket: await freshBucket() }
    const grant = /GRANT SELECT \(related_credit_transaction_id\) ON public\.kilo_pass_audit_log TO/
    const dry = await invokeJob(place, {})
    expect(dry.warnings.join('\n')).toMatch(/the rollback of an execute would be refused: /)
    expect(dry.warnings.join('\n')).toMatch(grant)
    const card = await invokeJob(place, { execute: true })
    const before = await dump(database.sql)
    const preview = await invokeJob(place, { rollback: card.runId })
    expect(preview.warnings.join('\n')).toMatch(grant)
    const refused = await failureOf(invokeJob(place, { rollback: card.runId, execute: true }))
    expect(refused.name).toBe('RunRefused')
    expect(refused.message).toMatch(grant)
    expect(await dump(database.sql)).toEqual(before)
  } finally {
    for (const role of roles) await database.sql.unsafe(`GRANT SELECT ON kilo_pass_audit_log TO ${role}`)
  }
})

test('the dry-run user cannot write: the job names the missing rights, PostgreSQL refuses the rest', async () => {
  const before = await dump(database.sql)
  await expect(
    invokeJob({ databaseUrl: urlAs(DRY_RUN), bucket: await freshBucket() }, { execute: true }),
  ).rejects.toThrow(
    /lacks a right.*GRANT UPDATE \(total_microdollars_acquired, next_credit_expiration_at, updated_at\) ON kilocode_users.*GRANT UPDATE \(expiry_date, expiration_baseline_microdollars_used\) ON credit_transactions.*GRANT INSERT/,
  )
  const sql = postgres(urlAs(DRY_RUN), { max: 1 })
  await expect(sql`UPDATE kilocode_users SET updated_at = now()`).rejects.toThrow(
    'permission denied for table kilocode_users',
  )
  await expect(sql`DELETE FROM credit_transactions`).rejects.toThrow(
    'permission denied for table credit_transactions',
  )
  await sql.end()
  expect(await dump(database.sql)).toEqual(before)
})

test('the execute user cannot change what the job does not change', async () => {
  const sql = postgres(urlAs(EXECUTE), { max: 1 })
  for (const statement of [
    'UPDATE kilocode_users SET microdollars_used = 0',
    'UPDATE kilocode_users SET google_user_email = id',
    'UPDATE credit_transactions SET amount_microdollars = 0',
    'DELETE FROM kilocode_users',
    'DELETE FROM kilo_pass_audit_log',
    'UPDATE coding_plan_terms SET plan = id::text',
    'TRUNCATE credit_transactions',
  ]) {
    await expect(sql.unsafe(statement)).rejects.toThrow(/permission denied/)
  }
  await sql.end()
})

test('both users can read every table that refers to credit_transactions; only one can lock', async () => {
  const references = await database.sql<{ table: string }[]>`
    SELECT conrelid::regclass::text AS table FROM pg_constraint
    WHERE contype = 'f' AND confrelid = 'credit_transactions'::regclass ORDER BY 1`
  expect(references.map(({ table }) => table)).toEqual([
    'coding_plan_terms',
    'kilo_pass_audit_log',
    'kilo_pass_issuance_items',
  ])
  for (const role of [DRY_RUN, EXECUTE]) {
    const sql = postgres(urlAs(role), { max: 1 })
    for (const { table } of references) expect(await sql`SELECT * FROM ${sql(table)} LIMIT 0`).toEqual([])
    const locked = await sql`SELECT id FROM credit_transactions LIMIT 0 FOR UPDATE`.then(
      () => true,
      () => false,
    )
    expect({ role, locked }).toEqual({ role, locked: role === EXECUTE })
    await sql.end()
  }
})
