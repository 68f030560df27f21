import * as z from 'zod'
import { MODES } from '../constants.ts'
import { ArchiveCorrupt } from './errors.ts'

/** The shapes of the JSON documents in the bucket. What is read is checked: a cut or changed document is an error. */

const instant = z.string()
const counts = z.record(z.string(), z.int())

/** Sums over the finished pages; amounts in microdollars. What the whole logs must add up to again. */
export const totalsSchema = z.object({
  usersWithoutGrants: z.int(),
  usersProcessed: z.int(),
  usersLeftAlone: z.int(),
  usersFailed: z.int(),
  usersCorrected: z.int(),
  grantsTargeted: z.int(),
  expiredMicrodollars: z.int(),
  duePaidMicrodollars: z.int(),
  correctedMicrodollars: z.int(),
  userLines: z.int(),
  mutationLines: z.int(),
  errorLines: z.int(),
  outcomes: counts,
  flags: counts,
})
export type Totals = z.infer<typeof totalsSchema>

const closedStatus = z.enum(['complete', 'complete_with_errors', 'stopped', 'cancelled'])

const verdict = z.object({ status: closedStatus, why: z.string() })
export type Verdict = z.infer<typeof verdict>

const lease = z.object({ invocationId: z.string(), epoch: z.int(), expiresAt: instant })

/** Size, lines and SHA-256 of a stored file, as the manifest lists it. */
const fingerprint = z.object({ key: z.string(), bytes: z.int(), lines: z.int(), sha256: z.string() })
export type Fingerprint = z.infer<typeof fingerprint>

export const cursorSchema = z.object({
  runId: z.string(),
  mode: z.string(),
  instant,
  /** New with every write, so that a writer whose reply was lost knows its own write again. */
  nonce: z.string(),
  /** Raised by every acquisition of the lease; part of every attempt's name. */
  epoch: z.int(),
  lease: lease.nullable(),
  pagesTotal: z.int(),
  usersTotal: z.int(),
  /** Finished pages as ranges, each with the epoch of its outcome. What is not here is not finished. */
  finished: z.array(z.object({ from: z.int(), to: z.int(), epoch: z.int() })),
  /** Finished pages that have an error segment; the others have none. */
  errorPages: z.array(z.int()),
  usersDone: z.int(),
  lastUserId: z.string().nullable(),
  totals: totalsSchema,
  /** The error of the last failed users, for the brake on the same error in a row. */
  errorRun: z.object({ error: z.string().nullable(), users: z.int() }),
  progressAt: instant,
  /** How the run is to end, decided once; from then on there are no more pages, only closing. */
  closing: verdict.nullable(),
  /** The whole logs that are written and checked already: closing goes on behind them. */
  wholeLogs: z.array(fingerprint),
  /** How it ended: the run is closed. */
  closed: verdict.nullable(),
})
export type Cursor = z.infer<typeof cursorSchema>

export const pageListSchema = z.object({
  page: z.int(),
  userIds: z.array(z.string()).min(1),
  rows: z.int(),
  /** For a plan-bound execute: the page of the dry run that showed these users, and the epoch of its outcome. */
  shown: z.object({ page: z.int(), epoch: z.int() }).nullable(),
  /** For a rollback: where the lines of these users stand in the run's whole mutation log, as bytes [from, to). */
  bytes: z.object({ from: z.int(), to: z.int() }).nullable(),
})
export type PageList = z.infer<typeof pageListSchema>

export type Mode = (typeof MODES)[number]

/** Only these modes write to the ledger. */
export function isWriting(mode: Mode): boolean {
  return mode === 'execute' || mode === 'rollback'
}

const limits = z.object({
  users: z.number(),
  grants: z.number(),
  usd: z.number(),
  correctionsUsd: z.number(),
})

/** What was asked and what was fixed at opening: every later invocation works by this, whatever its environment says. */
export const runSchema = z.object({
  runId: z.string(),
  mode: z.enum(MODES),
  instant,
  softwareVersion: z.string(),
  asked: z.object({
    payload: z.record(z.string(), z.unknown()),
    requestId: z.string(),
    source: z.string(),
    reason: z.string().nullable(),
    requestKey: z.string().nullable(),
  }),
  /** Which payloads are the same: those that agree in mode and in all of this. */
  selection: z.object({
    domains: z.array(z.string()),
    userIds: z.array(z.string()).nullable(),
    plan: z.string().nullable(),
    rollback: z.string().nullable(),
  }),
  settings: z.object({
    batchSize: z.int(),
    concurrency: z.int(),
    limits,
    maxFailedUsers: z.int(),
    maxFailedPercent: z.number(),
    minGrantAgeSeconds: z.int(),
    correctionDescriptions: z.array(z.string()),
  }),
  /** Why an execute of this would be refused; a dry run says so, and goes on. */
  concerns: z.array(z.string()),
  matched: z.object({
    users: z.int(),
    grants: z.int(),
    faceValueMicrodollars: z.int(),
    rows: z.int(),
    pages: z.int(),
  }),
})
export type Run = z.infer<typeof runSchema>

/** The one document that says which writing run is open. It carries a nonce when free too: an old ETag can't come back. */
export const writerSchema = z.object({ runId: z.string().nullable(), nonce: z.string() })
export type Writer = z.infer<typeof writerSchema>

/** Which run a request key or an approved plan belongs to. Written once. */
export const markSchema = z.object({ runId: z.string() })

/** Somebody wants this run to stop. Written once. */
export const cancelSchema = z.object({ runId: z.string(), by: z.string(), at: instant })
export type Cancel = z.infer<typeof cancelSchema>

/** The head of an intent: which attempt it is, until when it may commit, and how many users follow. */
export const intentHeadSchema = z.object({
  run_id: z.string(),
  attempt: z.string(),
  page: z.int(),
  epoch: z.int(),
  lease_expires_at: instant,
  users: z.int(),
})

/**
 * One user of an intent: the ids of the rows to insert, the user's line, and how many lines of mutations follow. All are
 * theirs once the attempt has committed.
 */
export const intentUserSchema = z.object({
  user_id: z.string(),
  row_ids: z.array(z.string()),
  mutations: z.int().min(0),
  line: z.looseObject({}),
})

/** A user of an intent as it is read back, with the lines of the mutations. */
export type Intended = Omit<z.infer<typeof intentUserSchema>, 'mutations'> & {
  readonly mutations: readonly string[]
}
export type Intent = z.infer<typeof intentHeadSchema> & { readonly planned: readonly Intended[] }

/** A document as the text that is stored: indented, since people read these. */
export function serialize(document: object): string {
  return `${JSON.stringify(document, null, 2)}\n`
}

/**
 * Reads a stored document.
 * @throws ArchiveCorrupt naming the key when it is not the JSON that it must be
 */
export function parseDocument<T>(schema: z.ZodType<T>, key: string, body: string): T {
  try {
    return schema.parse(JSON.parse(body))
  } catch (error) {
    throw new ArchiveCorrupt(
      `${key} is cut short or not of the expected shape. Nothing was changed. Restore its last good version in S3 and send the payload again.`,
      { cause: error },
    )
  }
}
