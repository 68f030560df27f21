import * as z from 'zod'
import { type Mode, MODES, PREFIXES } from '../constants.ts'
import { limitsSchema } from '../limits.ts'
import { checked, JSON_TYPE, parseDocument, serialize } from './documents.ts'
import { ArchiveCorrupt, writtenByVersion010 } from './errors.ts'
import { modeOf, runFileKey, runFolder, runIdOfFolder } from './keys.ts'
import { list, listFolders } from './s3/list.ts'
import { create, get } from './s3/objects.ts'
import type { Store } from './s3/store.ts'

/** Only these modes write to the ledger. */
export function isWriting(mode: Mode): boolean {
  return mode === 'execute' || mode === 'rollback'
}

/** Whether a run id is that of a run that writes to the ledger. */
export function isWritingRun(runId: string): boolean {
  const mode = modeOf(runId)
  return mode !== null && isWriting(mode)
}

const texts = z.array(z.string())

/** Who asked for a run: a display name, the way it came, and the evidence that names the caller. */
export const askedSchema = z.object({
  by: z.string(),
  via: z.string(),
  evidence: z.record(z.string(), z.string()),
  requestId: z.string(),
  reason: z.string().nullable(),
  requestKey: z.string().nullable(),
  /** As it was sent, with ids instead of e-mail addresses. */
  payload: z.record(z.string(), z.unknown()),
})
export type Asked = z.infer<typeof askedSchema>

/** Which ledger a run works on: 2-run-protocol, "Opening". */
const ledger = z.object({
  systemIdentifier: z.string(),
  databaseOid: z.string(),
  database: z.string(),
  schema: z.string(),
  /** Of the connection that the run was opened with, and whether that one can write. */
  host: z.string(),
  port: z.int(),
})
export type LedgerIdentity = z.infer<typeof ledger>

/**
 * What was asked and what was fixed at opening: later invocations work by this, whatever their environment
 * says.
 */
export const runSchema = z.object({
  format: z.literal(2),
  runId: z.string(),
  mode: z.enum(MODES),
  instant: z.string(),
  softwareVersion: z.string(),
  asked: askedSchema,
  /** Of mode and selection as they were sent, by which the same payload is known again. */
  sentSha256: z.string(),
  ledger,
  /** The nonce of the hold under which a rollback was started, and which does not stop it. */
  underHold: z.string().nullable(),
  /** Two payloads are the same where mode, selection and the limits asked for are. */
  selection: z.object({
    domains: texts,
    userIds: texts.nullable(),
    exceptUserIds: texts,
    categories: texts.nullable(),
    plan: z.string().nullable(),
    rollback: z.string().nullable(),
  }),
  settings: z.object({
    batchSize: z.int(),
    concurrency: z.int(),
    gentle: z.boolean(),
    limits: z.object(limitsSchema.shape),
    maxFailedUsers: z.int(),
    maxFailedPercent: z.number(),
    minGrantAgeSeconds: z.int(),
    correctionDescriptions: texts,
    reviewCategories: texts,
    excludedCategories: texts,
    /** As configured: ids and e-mail addresses. */
    excludedUserIds: texts,
    /** The ids of these users at opening: an e-mail address may change during the run. */
    excludedIds: texts,
    acceptedReferences: texts,
    lockTimeoutMs: z.int(),
  }),
  /** What a person should know of the ledger before anything is written, triggers for instance. */
  warnings: texts,
  /** Why an execute of this would be refused. A dry run reports it and continues. */
  refusals: texts,
  matched: z.object({
    users: z.int(),
    grants: z.int(),
    faceValueMicrodollars: z.int(),
    rows: z.int(),
    pages: z.int(),
  }),
})
export type Run = z.infer<typeof runSchema>

/** Stores what was asked and fixed, once per run. @throws ArchiveUnavailable */
export async function createRun(store: Store, run: Run): Promise<void> {
  const body = serialize(checked(runSchema, run))
  if (await create(store, runFileKey(run.runId, 'run.json'), body, JSON_TYPE)) return
  throw new ArchiveCorrupt(`${runFileKey(run.runId, 'run.json')} exists already. Nothing was overwritten.`)
}

/**
 * Reads what was asked and fixed at opening; null for an id that the bucket does not have.
 * @throws ArchiveCorrupt (a run of version 0.1.0 among them), ArchiveUnavailable
 */
export async function readRun(store: Store, runId: string): Promise<Run | null> {
  const key = runFileKey(runId, 'run.json')
  const stored = await get(store, key)
  if (!stored) return null
  if (isOfVersion010(stored.body)) throw writtenByVersion010(`Run ${runId}`, 'this run')
  return parseDocument(runSchema, key, stored.body)
}

/** Version 0.1.0 wrote no format number. */
function isOfVersion010(body: string): boolean {
  return !body.includes('"format"') && body.includes('"softwareVersion": "0.1.0"')
}

/** The ids of all runs of the bucket, oldest first. @throws ArchiveUnavailable */
export async function listRunIds(store: Store): Promise<string[]> {
  const ids: string[] = []
  for await (const folder of listFolders(store, PREFIXES.runs)) {
    const runId = runIdOfFolder(folder)
    if (runId !== null) ids.push(runId)
  }
  return ids
}

/**
 * What the bucket has of a run: nothing, only the pages that an opening leaves which was refused or cut off, or
 * more.
 * @throws ArchiveUnavailable
 */
export async function remainsOf(store: Store, runId: string): Promise<'nothing' | 'pages' | 'more'> {
  let remains: 'nothing' | 'pages' = 'nothing'
  for await (const { key } of list(store, runFolder(runId))) {
    if (!key.startsWith(`${runFolder(runId)}pages/`)) return 'more'
    remains = 'pages'
  }
  return remains
}
