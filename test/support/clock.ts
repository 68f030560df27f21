import type { Sql } from 'postgres'

/**
 * Stops the database's own clock at `at` for every connection opened from now on: `clock_timestamp()` is
 * found in another schema first. So two runs can have the same instant, to the microsecond. `setClock` moves
 * it.
 */
export async function stopClock(sql: Sql, at: string): Promise<void> {
  goWith(at)
  await sql`CREATE SCHEMA test_clock`
  await sql`CREATE TABLE test_clock.now (at timestamptz NOT NULL)`
  await sql`INSERT INTO test_clock.now VALUES (${at})`
  await sql`
    CREATE FUNCTION test_clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
      AS 'SELECT at FROM test_clock.now'`
  await useTestClock(sql, sql.options.database)
}

/** Connections that are opened to this database from now on find the functions of the schema test_clock first. */
export async function useTestClock(sql: Sql, database: string): Promise<void> {
  await sql`ALTER DATABASE ${sql(database)} SET search_path = test_clock, pg_catalog, public`
}

/** Sets the stopped clock of a database to another time. */
export async function setClock(sql: Sql, at: string): Promise<void> {
  goWith(at)
  await sql`UPDATE test_clock.now SET at = ${at}`
}

let aheadMs = 0

function goWith(at: string): void {
  aheadMs = Date.parse(at) - Date.now()
}

/** Sets the clock of the machine that a test's job runs on ahead, as that of its database is. */
export function setHostAhead(milliseconds: number): void {
  aheadMs = milliseconds
}

/** Lets the machine's clock run again from where it is: files share a worker, and the next one stops no clock. */
export function releaseClock(): void {
  aheadMs = 0
}

/** The clock of the machine that a test's job runs on: it runs from where the database's was stopped last. */
export function hostNow(): Date {
  return new Date(Date.now() + aheadMs)
}
