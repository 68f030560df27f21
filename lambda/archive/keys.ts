import { FIRST_LAYOUT, PREFIXES } from '../constants.ts'

/** The layout of the bucket: 3-contract, "The bucket". Numbers are zero-padded, so that keys sort as the pages do. */

const PAGE_DIGITS = 6
const EPOCH_DIGITS = 4
const ATTEMPT_DIGITS = 5

export const WRITER_KEY = `${PREFIXES.control}writer.json`

export function cursorKey(runId: string): string {
  return `${FIRST_LAYOUT.state}${runId}/cursor.json`
}

export function pageListKey(runId: string, page: number): string {
  return `${FIRST_LAYOUT.state}${runId}/pages/${pad(page, PAGE_DIGITS)}.json`
}

export function requestKey(key: string): string {
  return `${PREFIXES.control}requests/${key}.json`
}

export function planKey(dryRunId: string): string {
  return `${PREFIXES.control}plans/${dryRunId}.json`
}

export function cancelKey(runId: string): string {
  return `${FIRST_LAYOUT.state}${runId}/cancel.json`
}

/** `<page>-<epoch>-<n>`: names one attempt of a run, and goes into the ids of the rows that it inserts. */
export function attemptId(page: number, epoch: number, n: number): string {
  return `${pad(page, PAGE_DIGITS)}-${pad(epoch, EPOCH_DIGITS)}-${pad(n, ATTEMPT_DIGITS)}`
}

export function intentKey(runId: string, attempt: string): string {
  return `${FIRST_LAYOUT.segments}${runId}/${attempt}-intent.jsonl`
}

/** What all segments of a run, or of one of its pages, begin with. */
export function segmentPrefix(runId: string, page?: number): string {
  return `${FIRST_LAYOUT.segments}${runId}/${page === undefined ? '' : `${pad(page, PAGE_DIGITS)}-`}`
}

const INTENT = /\/(\d+)-(\d+)-(\d+)-intent\.jsonl$/

/** The page and the attempt that an intent's key names, or null for another key. */
export function parseIntentKey(key: string): { page: number; attempt: string } | null {
  const [, page = '', epoch = '', n = ''] = INTENT.exec(key) ?? []
  return page === '' ? null : { page: Number(page), attempt: `${page}-${epoch}-${n}` }
}

export const LOG_KINDS = ['users', 'mutations', 'errors'] as const
export type LogKind = (typeof LOG_KINDS)[number]

export function segmentKey(runId: string, page: number, epoch: number, kind: LogKind): string {
  return `${segmentPrefix(runId, page)}${pad(epoch, EPOCH_DIGITS)}-${kind}.jsonl`
}

export function logKey(runId: string, kind: LogKind): string {
  return `${PREFIXES.logs}${kind}/${runId}.jsonl`
}

export function runFolder(runId: string): string {
  return `${PREFIXES.runs}${runId}/`
}

export function runFileKey(runId: string, file: 'run' | 'summary' | 'manifest'): string {
  return `${runFolder(runId)}${file}.json`
}

const RUN_FILE = new RegExp(`^${PREFIXES.runs}([^/]+)/run\\.json$`)

/** The id of the run whose run.json a key names, or null for another key. */
export function parseRunKey(key: string): string | null {
  return RUN_FILE.exec(key)?.[1] ?? null
}

function pad(number: number, digits: number): string {
  return String(number).padStart(digits, '0')
}
