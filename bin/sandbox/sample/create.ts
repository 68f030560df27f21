import { readFile } from 'node:fs/promises'
import postgres from 'postgres'
import type { PostgresServer } from '../postgres.ts'
import { seedSampleLedger } from './ledger.ts'

/** Creates the database and its sample ledger where they are missing; says whether the ledger was. */
export async function createLedger(server: PostgresServer, name: string): Promise<boolean> {
  const url = server.urlFor(name)
  try {
    return await seedWhereEmpty(url)
  } catch (error) {
    const missing = error instanceof postgres.PostgresError && error.code === '3D000'
    if (!missing) throw error
  }
  const admin = postgres(server.urlFor('postgres'), { max: 1 })
  try {
    await admin`create database ${admin(name)}`
  } finally {
    await admin.end()
  }
  return seedWhereEmpty(url)
}

async function seedWhereEmpty(databaseUrl: string): Promise<boolean> {
  const ledger = postgres(databaseUrl, { max: 1, fetch_types: false })
  try {
    return await ledger.begin(async (tx) => {
      const [found] = await tx<{ seeded: boolean }[]>`
        select to_regclass('kilocode_users') is not null as seeded
      `
      if (found?.seeded === true) return false
      await tx.unsafe(await readFile(new URL('../schema.sql', import.meta.url), 'utf8'))
      await seedSampleLedger(tx, { now: new Date() })
      return true
    })
  } finally {
    await ledger.end()
  }
}
