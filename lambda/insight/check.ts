import type { KeyObject } from 'node:crypto'
import { readHold } from '../archive/control.ts'
import { HOLD_KEY, logFolder, markKey, runFileKey } from '../archive/keys.ts'
import { readRun } from '../archive/runs.ts'
import { list } from '../archive/s3/list.ts'
import { get, testPut } from '../archive/s3/objects.ts'
import { PREFIXES } from '../constants.ts'
import { clocksApartMs, databaseClock, FURTHEST_CLOCKS_MS } from '../ledger/preflight/clock.ts'
import type { Sql } from '../ledger/connection/connect.ts'
import { LedgerUnavailable, namingReadonlyUrl } from '../ledger/errors.ts'
import { readIdentity } from '../ledger/preflight/identity.ts'
import { preflight, type Use } from '../ledger/preflight/preflight.ts'
import { readForeignKeys, unreadableKeys } from '../ledger/preflight/references.ts'
import { withRetriedRead } from '../ledger/connection/transaction.ts'
import { personOf, redact } from '../redact.ts'
import { refuseSecondOpenRun } from '../run/known-run.ts'
import type { Tools } from '../run/tools.ts'
import { isSignedBy } from '../signing/public-key.ts'
import type { Signer } from '../signing/signer.ts'
import { currentCard, openWritingRun } from './status.ts'

/** One thing that was checked; `fix` says what to do where it is not in place. */
export type Checked = {
  readonly check: string
  readonly ok: boolean
  readonly detail: string
  readonly fix: string | null
}

/** What `{"check": true}` answers. Never stored. */
export type CheckAnswer = {
  readonly answer: 'check'
  readonly result: 'passed' | 'failed'
  readonly checks: readonly Checked[]
  readonly next: { readonly text: string; readonly payload: Record<string, unknown> }
}

/** What a check finds where everything is in place. An error that it throws says what is not. */
type Find = () => Promise<string | { readonly detail: string; readonly fix: string }>

/**
 * Checks everything that a run needs, on the connections of this function: database, rights, foreign keys,
 * clocks, bucket, signing key, hold and the open run. Writes nothing. A check that fails does not keep the
 * others from being made.
 */
export async function check(tools: Tools): Promise<CheckAnswer> {
  const finds = {
    ...ledgerChecks(tools),
    ...bucketChecks(tools),
    ...signingChecks(tools),
    ...controlChecks(tools),
  }
  const checks = await Promise.all(Object.entries(finds).map(async ([name, find]) => checked(name, find)))
  const passed = checks.every(({ ok }) => ok)
  tools.onCheck(passed)
  return {
    answer: 'check',
    result: passed ? 'passed' : 'failed',
    checks,
    next: passed
      ? { text: 'make a dry run', payload: {} }
      : { text: 'fix what failed, then check again', payload: { check: true } },
  }
}

async function checked(name: string, find: Find): Promise<Checked> {
  try {
    const found = await find()
    if (typeof found === 'string') return { check: name, ok: true, detail: found, fix: null }
    return { check: name, ok: false, ...found }
  } catch (error) {
    // A message says what is wrong, what was done, and what to do.
    const message = error instanceof Error ? error.message : 'an unknown error'
    const [detail = message, ...rest] = message
      .replace(/Nothing was done\.|It was not changed\./, '')
      .split(/(?<=\.) +(?=[A-Z])/)
    return { check: name, ok: false, detail, fix: rest.length > 0 ? rest.join(' ').trim() : null }
  }
}

/** Each function tests the connections that it has: the preview function has no writing one. */
function ledgerChecks(tools: Tools): Record<string, Find> {
  const { reader, writer } = tools.ledger
  const { database, readonlyDatabase } = tools.config
  const asReader = readonlyDatabase === database ? (find: Find) => find : blamingReadonlyUrl
  const reads = {
    'database: dry-run': asReader(async () => serverFor('dry-run', reader, tools)),
    'database: rollback-dry-run': asReader(async () => serverFor('rollback-dry-run', reader, tools)),
    'database: references, to read': asReader(async () => readableKeys(reader, tools)),
    'database: clock': asReader(async () => clock(reader, tools)),
  }
  if (!tools.config.allowWrites) return reads
  return {
    ...reads,
    'database: execute': async () => serverFor('execute', writer, tools),
    'database: rollback': async () => serverFor('rollback', writer, tools),
    'database: references, to write': async () => readableKeys(writer, tools),
    'database: one ledger': async () => oneLedger(tools),
  }
}

function blamingReadonlyUrl(find: Find): Find {
  return async () => {
    try {
      return await find()
    } catch (error) {
      if (!(error instanceof LedgerUnavailable)) throw error
      throw new LedgerUnavailable(namingReadonlyUrl(error.message), { cause: error })
    }
  }
}

async function serverFor(use: Use, sql: Sql, tools: Tools): Promise<string> {
  const { server, warnings } = await preflight(sql, use, tools)
  const { user, host, database, version } = server
  return [`${user} at ${host}/${database}, PostgreSQL ${version}`, ...warnings].join('; ')
}

async function readableKeys(sql: Sql, tools: Tools) {
  const keys = await withRetriedRead(sql, readForeignKeys, tools)
  const unreadable = unreadableKeys(keys, tools.config.acceptedReferences)
  if (unreadable.length === 0) return `${keys.length} foreign keys onto credit_transactions`
  return {
    detail: `${unreadable.length} of ${keys.length} foreign keys cannot be followed, so a rollback would be refused.`,
    fix: unreadable.join('; '),
  }
}

async function clock(sql: Sql, tools: Tools) {
  const databaseNow = await databaseClock(sql, tools)
  const now = tools.now()
  const apartMs = clocksApartMs(databaseNow, now)
  if (apartMs <= FURTHEST_CLOCKS_MS) return `${(apartMs / 1_000).toFixed(1)} s apart`
  return {
    detail: `The database says ${databaseNow}, this machine ${now.toISOString()}: ${Math.round(apartMs / 60_000)} minutes apart.`,
    fix: 'Correct the clock that is wrong (NTP).',
  }
}

async function oneLedger(tools: Tools) {
  const { reader, writer } = tools.ledger
  const [read, written] = await Promise.all([readIdentity(reader, tools), readIdentity(writer, tools)])
  const nameOf = ({ systemIdentifier, databaseOid, database }: typeof read): string =>
    `${systemIdentifier}/${databaseOid}/${database}`
  if (nameOf(read) === nameOf(written)) return nameOf(written)
  return {
    detail: `Dry runs read ${nameOf(read)}, and executes write ${nameOf(written)}.`,
    fix: 'Correct DATABASE_URL or READONLY_DATABASE_URL, or their secrets, so that both lead to one ledger.',
  }
}

/** Ids that no run has, in the shape that the rights on the bucket distinguish. */
const DRY_RUN = '0000-01-01T00-00-00-000Z-dry-run-0000'
const EXECUTE = '0000-01-01T00-00-00-000Z-execute-0000'

function bucketChecks({ store, region, config }: Tools): Record<string, Find> {
  const puts = [
    runFileKey(DRY_RUN, 'run.json'),
    `${logFolder(DRY_RUN, 'users')}check.jsonl`,
    markKey('dry-run-request', 'check'),
    runFileKey(EXECUTE, 'report.html'),
    ...(config.allowWrites
      ? [
          `${PREFIXES.control}check.json`,
          runFileKey(EXECUTE, 'run.json'),
          `${PREFIXES.intents}${EXECUTE}/check.jsonl`,
          `${logFolder(EXECUTE, 'users')}check.jsonl`,
        ]
      : []),
  ]
  return {
    'bucket: list': async () => {
      await list(store, PREFIXES.control).next()
      return `${store.bucket} in ${region}`
    },
    'bucket: get': async () => ((await get(store, HOLD_KEY)) ? `${HOLD_KEY} is there` : `no ${HOLD_KEY} yet`),
    ...Object.fromEntries(
      puts.map((key) => [
        `bucket: put ${key}`,
        async () => {
          await testPut(store, key)
          return 'allowed'
        },
      ]),
    ),
  }
}

/** No manifest, so that the signature is of no use to anybody. */
const TEST_TEXT = 'credit-expiry tests that this key signs'

function signingChecks({ signer, config }: Tools): Record<string, Find> {
  return signer === null ? {} : { signing: async () => signs(signer, config.signingPublicKeys) }
}

/** Signs a test text, and checks the signature with the public key that verify uses. */
async function signs(signer: Signer, configured: readonly KeyObject[] | null) {
  const publicKey = await signer.publicKey()
  const signature = await signer.sign(TEST_TEXT)
  if (configured?.some((key) => key.equals(publicKey)) === false) {
    return {
      detail: `SIGNING_PUBLIC_KEYS does not hold the public key of ${signer.keyArn}.`,
      fix: 'Add what "aws kms get-public-key" prints for that key.',
    }
  }
  if (isSignedBy([publicKey], Buffer.from(TEST_TEXT), signature)) return `with ${signer.keyArn}`
  return {
    detail: `The signature of ${signer.keyArn} is not valid with its public key.`,
    fix: 'Check which KMS the function reaches (AWS_ENDPOINT_URL_KMS).',
  }
}

function controlChecks(tools: Tools): Record<string, Find> {
  return {
    hold: async () => {
      const hold = (await readHold(tools.store))?.document
      if (hold?.held !== true) return 'not held'
      const detail = `Writing is held by ${personOf(hold.by)}: ${redact(hold.reason)}`
      return hold.at === '' ? { detail, fix: 'Send {"release": "…"} to rewrite it.' } : detail
    },
    'open run': async () => {
      const open = await openWritingRun(tools)
      if (open === null) {
        await refuseSecondOpenRun(tools)
        return 'no writing run is open'
      }
      const run = await readRun(tools.store, open.runId)
      if (run) return `run ${open.runId}: ${(await currentCard(run, tools)).why}`
      return {
        detail: `Run ${open.runId} is open, and its run.json is missing.`,
        fix: `Restore its last version in S3, or send {"abandon": "${open.runId}", "reason": "…"}.`,
      }
    },
  }
}
