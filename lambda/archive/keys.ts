import { type Mode, MODES, PREFIXES } from '../constants.ts'

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

/** What the keys of all intents of a run, or of one of its pages, begin with. */
export function intentPrefix(runId: string, page: number | null): string {
  return `${PREFIXES.intents}${runId}/${page === null ? '' : `${pad(page, PAGE_DIGITS)}-`}`
}

const INTENT = /\/(\d+-\d+-\d+)\.jsonl$/

/** The attempt that an intent's key names, or null for another key. */
export function attemptOfKey(key: string): string | null {
  return INTENT.exec(key)?.[1] ?? null
}

const PAGE_AND_EPOCH = /\/(\d+)-(\d+)(-\d+)?\.jsonl$/

/** The page and the epoch that the key of an intent or of a log part names, or null for another key. */
export function pageAndEpochOf(key: string): { readonly page: number; readonly epoch: number } | null {
  const [, page, epoch] = PAGE_AND_EPOCH.exec(key) ?? []
  return page === undefined || epoch === undefined ? null : { page: Number(page), epoch: Number(epoch) }
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

/** The mode that a run id names; null for what is no run id, as "latest". */
export function modeOf(runId: string): Mode | null {
  const [, name] = RUN_ID.exec(runId) ?? []
  return MODES.find((mode) => mode === name) ?? null
}

const RUN_FOLDER = new RegExp(`^${PREFIXES.runs}([^/]+)/$`)

/** The id of the run that a folder under runs/ belongs to, or null for a folder that a person made. */
export function runIdOfFolder(folder: string): string | null {
  const [, name = ''] = RUN_FOLDER.exec(folder) ?? []
  return RUN_ID.test(name) ? name : null
}

function pad(number: number, digits: number): string {
  return String(number).padStart(digits, '0')
}
