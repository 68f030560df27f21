import { MODES, PREFIXES } from '../constants.ts'

/**
 * The layout of the bucket: 3-contract, "The bucket". Numbers are zero-padded, so that keys sort like
 * numbers.
 */

const PAGE_DIGITS = 5
const EPOCH_DIGITS = 4
const ATTEMPT_DIGITS = 3

export const WRITER_KEY = `${PREFIXES.control}writer.json`
export const HOLD_KEY = `${PREFIXES.control}hold.json`

/** What a mark is about: the request key of a writing run, that of a dry run, or an approved plan. */
export type MarkKind = 'request' | 'dry-run-request' | 'plan'

const MARK_FOLDERS: Readonly<Record<MarkKind, string>> = {
  request: 'requests/',
  'dry-run-request': 'requests/dry-run/',
  plan: 'plans/',
}

export function markKey(kind: MarkKind, name: string): string {
  return `${PREFIXES.control}${MARK_FOLDERS[kind]}${name}.json`
}

export const ROLLBACKS = `${PREFIXES.control}rollbacks/`

export function rollbackFolder(runId: string): string {
  return `${ROLLBACKS}${runId}/`
}

export function rollbackKey(runId: string, rollbackRunId: string): string {
  return `${rollbackFolder(runId)}${rollbackRunId}.json`
}

export function runFolder(runId: string): string {
  return `${PREFIXES.runs}${runId}/`
}

export type RunFile =
  | 'run.json'
  | 'cursor.json'
  | 'cancel.json'
  | 'summary.json'
  | 'manifest.json'
  | 'manifest.sig'
  | 'report.html'

export function runFileKey(runId: string, file: RunFile): string {
  return `${runFolder(runId)}${file}`
}

export function pageKey(runId: string, page: number): string {
  return `${runFolder(runId)}pages/${pad(page, PAGE_DIGITS)}.json`
}

/** `<page>-<epoch>-<n>`: names one attempt of a run, and is part of the ids of the rows that it inserts. */
export function attemptName(page: number, epoch: number, n: number): string {
  return `${pad(page, PAGE_DIGITS)}-${pad(epoch, EPOCH_DIGITS)}-${pad(n, ATTEMPT_DIGITS)}`
}

/** Orders attempts of one page by their time: a number with more digits than usual is a later one. */
export function compareAttempts(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true })
}

export function intentKey(runId: string, attempt: string): string {
  return `${PREFIXES.intents}${runId}/${attempt}.jsonl`
}

/** What the keys of all intents of one page begin with. */
export function intentPrefix(runId: string, page: number): string {
  return `${PREFIXES.intents}${runId}/${pad(page, PAGE_DIGITS)}-`
}

const INTENT = /\/(\d+-\d+-\d+)\.jsonl$/

/** The attempt that an intent's key names, or null for another key. */
export function attemptOfKey(key: string): string | null {
  return INTENT.exec(key)?.[1] ?? null
}

export const LOG_KINDS = ['users', 'mutations', 'errors'] as const
export type LogKind = (typeof LOG_KINDS)[number]

export function logFolder(runId: string, kind: LogKind): string {
  return `${PREFIXES.logs}${kind}/${runId}/`
}

/** One page's part of a log, as the holder of the lease with this epoch writes it. */
export function partKey(runId: string, kind: LogKind, page: number, epoch: number): string {
  return `${logFolder(runId, kind)}${pad(page, PAGE_DIGITS)}-${pad(epoch, EPOCH_DIGITS)}.jsonl`
}

/** The line of a closed run in the table of runs. */
export function runLineKey(runId: string): string {
  return `${PREFIXES.logs}runs/${runId}.jsonl`
}

/** `2026-11-22T06-12-30-123Z-execute-k3j9`: sorts by time. */
export const RUN_ID = new RegExp(
  String.raw`^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}Z-(${MODES.join('|')})-[0-9a-z]{4}$`,
)

const RUN_FOLDER = new RegExp(`^${PREFIXES.runs}([^/]+)/$`)

/** The id of the run that a folder under runs/ belongs to, or null for another folder. */
export function runIdOfFolder(folder: string): string | null {
  return RUN_FOLDER.exec(folder)?.[1] ?? null
}

function pad(number: number, digits: number): string {
  return String(number).padStart(digits, '0')
}
