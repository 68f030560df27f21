import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import postgres from 'postgres'
import type { TestProject } from 'vitest/node'
import { startPostgres } from '../../../bin/sandbox/postgres.ts'
import { startS3, temporaryRoot } from '../../../bin/sandbox/s3.ts'
import { isAlive } from './alive.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** A superuser's URL of the maintenance database of this run's PostgreSQL. */
    postgresUrl: string
    /** The database with the ledger's empty tables that `freshDatabase` copies. */
    templateDatabase: string
    /** This run's S3 server; a file that needs hooks starts its own. */
    s3Endpoint: string
  }
}

const TEMPLATE_DATABASE = 'ledger_template'
/** The databases of tests are small, and most are gone before they could be vacuumed. */
const SETTINGS = ['autovacuum=off', 'shared_buffers=32MB', 'io_method=sync']
const FOLDER_OF_PROCESS = /^credit-expiry-(?:test|s3)-(\d+)-/

/**
 * Starts one PostgreSQL and one S3 server for a whole test run, and removes them and their files after it.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dir = await folderForTests()
  const stops = [() => rm(dir, { recursive: true, force: true })]
  const teardown = async () => {
    for (const stop of stops.toReversed()) await stop()
  }
  try {
    const server = await startPostgres({ dir: join(dir, 'postgres'), ephemeral: true, settings: SETTINGS })
    stops.push(server.stop)
    await makeTemplate(server.urlFor('postgres'), server.urlFor(TEMPLATE_DATABASE))
    const s3 = await startS3()
    stops.push(s3.stop)
    project.provide('postgresUrl', server.urlFor('postgres'))
    project.provide('templateDatabase', TEMPLATE_DATABASE)
    project.provide('s3Endpoint', s3.endpoint)
  } catch (error) {
    await teardown()
    throw error
  }
  return teardown
}

/**
 * The folder for everything temporary of this run, in memory if possible. Removes those of runs that were killed.
 */
async function folderForTests(): Promise<string> {
  const root = temporaryRoot()
  for (const name of await readdir(root)) {
    const [, pid] = FOLDER_OF_PROCESS.exec(name) ?? []
    if (pid !== undefined && !isAlive(Number(pid)))
      await rm(join(root, name), { recursive: true, force: true })
  }
  const dir = await mkdtemp(join(root, `credit-expiry-test-${process.pid}-`))
  // As root, PostgreSQL runs as another user, who must be able to enter.
  await chmod(dir, 0o711)
  process.env.TMPDIR = dir
  return dir
}

async function makeTemplate(adminUrl: string, templateUrl: string): Promise<void> {
  const admin = postgres(adminUrl, { max: 1 })
  await admin`CREATE DATABASE ${admin(TEMPLATE_DATABASE)}`
  await admin.end()
  const template = postgres(templateUrl, { max: 1 })
  await template.unsafe(await readFile(new URL('../../../bin/sandbox/schema.sql', import.meta.url), 'utf8'))
  await template.end()
}
