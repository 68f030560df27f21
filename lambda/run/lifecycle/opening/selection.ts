import { isWriting, type Run } from '../../../archive/runs.ts'
import { sha256Of } from '../../../archive/s3/objects.ts'
import type { Config } from '../../../config.ts'
import { InvalidEvent, type RollbackRequest, type RunRequest } from '../../../event.ts'
import type { Sql } from '../../../ledger/connection/connect.ts'
import { findNamedUsers } from '../../../ledger/matching.ts'
import { LIMIT_NAMES, type Limits } from '../../../limits.ts'
import { nearest } from '../../../nearest.ts'
import type { Tools } from '../../tools.ts'

/** A payload that opens a run. */
export type OpeningRequest = RunRequest | RollbackRequest
export type Selection = Run['selection']

/**
 * What a payload selects, resolved against the configuration, with ids instead of e-mail addresses.
 * @throws InvalidEvent naming the field, LedgerUnavailable
 */
export async function selectionOf(request: OpeningRequest, tools: Tools): Promise<Selection> {
  // A replica that lags behind may still give an address to another user than the ledger that is written to.
  const sql = isWriting(request.mode) ? tools.ledger.writer : tools.ledger.reader
  const userIds = request.userIds ? await idsOf('userIds', request.userIds, sql, tools) : null
  if (request.kind === 'rollback')
    return { ...NO_SELECTION, domains: [...tools.config.domains], userIds, rollback: request.rollback }
  const { domains, exceptUserIds = [], categories = null, plan = null } = request
  return {
    domains: domainsOf(domains, tools.config),
    userIds,
    exceptUserIds: await idsOf('exceptUserIds', exceptUserIds, sql, tools),
    categories: categories && uniqueTexts(categories),
    plan,
    rollback: null,
  }
}

const NO_SELECTION = { exceptUserIds: [], categories: null, plan: null, rollback: null }

function domainsOf(asked: readonly string[] | undefined, config: Config): string[] {
  const unknown = (asked ?? []).filter((domain) => !config.domains.includes(domain))
  if (unknown.length === 0) return uniqueTexts(asked ?? config.domains)
  const likely = nearest(unknown[0] ?? '', config.domains)
  const hint = likely === undefined ? '' : ` Did you mean ${likely}?`
  throw new InvalidEvent(
    `The event is not valid: field "domains": ${unknown.join(', ')} is not among the configured domains ` +
      `${config.domains.join(', ')}; an event can only narrow them.${hint} Nothing was done. ` +
      `A valid payload: {"domains": ["${config.domains[0]}"]}.`,
  )
}

/** The ids of users named by id or by e-mail address. @throws InvalidEvent for a text that names no user */
async function idsOf(field: string, asked: readonly string[], sql: Sql, tools: Tools): Promise<string[]> {
  const { ids, unknown } = await lookUp(asked, sql, tools)
  if (unknown[0] === undefined) return ids
  throw new InvalidEvent(
    `The event is not valid: field "${field}[${unknown[0]}]" names no user: there is none with this id ` +
      'or e-mail address. Nothing was done. Correct it, or leave it out.',
  )
}

/** The ids of users named by id or by e-mail address, and the places of the texts that name no user. */
async function lookUp(
  asked: readonly string[],
  sql: Sql,
  tools: Tools,
): Promise<{ readonly ids: string[]; readonly unknown: readonly number[] }> {
  if (asked.length === 0) return { ids: [], unknown: [] }
  const named = await findNamedUsers(sql, asked, tools)
  const places = new Set(named.map(({ place }) => place))
  const unknown = asked.flatMap((_, place) => (places.has(place) ? [] : [place]))
  return { ids: uniqueTexts(named.map(({ id }) => id)), unknown }
}

/** Of the users that the configuration excludes: their ids, what a person should know, and why a run is refused. */
export type ExcludedUsers = {
  readonly ids: readonly string[]
  readonly warnings: readonly string[]
  readonly refusals: readonly string[]
}

/**
 * The users that the configuration excludes by id or e-mail address. An address that nobody has refuses the
 * run: its user may have another one by now, and would not be excluded. An id never changes, so that one of
 * nobody is a warning.
 * @throws LedgerUnavailable
 */
export async function excludedUsers(
  { excludedUserIds }: Config,
  sql: Sql,
  tools: Tools,
): Promise<ExcludedUsers> {
  const { ids, unknown } = await lookUp(excludedUserIds, sql, tools)
  const entries = (isAddress: boolean): string =>
    unknown
      .filter((place) => (excludedUserIds[place] ?? '').includes('@') === isAddress)
      .map((place) => place + 1)
      .join(', ')
  const [addresses, others] = [entries(true), entries(false)]
  const of = `of ${excludedUserIds.length}`
  return {
    ids,
    warnings:
      others === ''
        ? []
        : [`EXCLUDED_USER_IDS: entry ${others} ${of} is the id of no user, and excludes nobody`],
    refusals:
      addresses === ''
        ? []
        : [
            `EXCLUDED_USER_IDS: entry ${addresses} ${of} is an e-mail address that no user has (any more), so that it ` +
              'would not exclude its user. Name the user by id, or leave the entry out',
          ],
  }
}

function uniqueTexts(texts: readonly string[]): string[] {
  return [...new Set(texts)].toSorted()
}

/** Configured limits, where the payload does not lower them. @throws InvalidEvent when it would raise one */
export function limitsOf(request: OpeningRequest, config: Config): Limits {
  const asked = request.kind === 'run' ? request.limits : undefined
  for (const key of LIMIT_NAMES) {
    const value = asked?.[key]
    if (value !== undefined && value > config.limits[key]) {
      throw new InvalidEvent(
        `The event is not valid: field "limits.${key}": ${value} is above the configured ` +
          `${config.limits[key]}; an event can only lower a limit. Nothing was done.`,
      )
    }
  }
  return { ...config.limits, ...asked }
}

/** Whether a payload asks for what a run does: the same mode and selection. Limits are compared apart. */
export function isSameRequest(mode: Run['mode'], selection: Selection, run: Run): boolean {
  if (mode !== run.mode) return false
  const { plan, rollback, userIds } = selection
  if (plan !== null) return run.selection.plan === plan
  if (rollback !== null)
    return run.selection.rollback === rollback && sameJson(run.selection.userIds, userIds)
  return sameJson(selection, run.selection)
}

/** What makes two payloads the same, as they were sent. */
const SELECTING = ['domains', 'userIds', 'exceptUserIds', 'categories', 'plan', 'rollback'] as const

/**
 * A fingerprint of mode and selection as they were sent, e-mail addresses and all: whose address has changed
 * since, or is another user's now, does not make it another payload.
 */
export function sentSha256(request: OpeningRequest): string {
  const given = new Map<string, unknown>(Object.entries(request))
  return sha256Of(JSON.stringify([request.mode, ...SELECTING.map((key) => sorted(given.get(key)) ?? null)]))
}

function sorted(value: unknown): unknown {
  return Array.isArray(value) ? value.map(String).toSorted() : value
}

/**
 * Whether a payload asks for the limits of a run: those that it names, and no lower ones that only the run
 * has.
 */
export function hasSameLimits(request: OpeningRequest, run: Run): boolean {
  const asked = request.kind === 'run' ? request.limits : undefined
  return sameJson(sortedLimits(asked), sortedLimits(run.asked.payload.limits))
}

function sortedLimits(limits: unknown): unknown {
  if (typeof limits !== 'object' || limits === null) return null
  return Object.entries(limits).toSorted(([a], [b]) => (a < b ? -1 : 1))
}

function sameJson(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

/** The payload in its shortest form, with ids instead of e-mail addresses. */
export function payloadOf(
  request: OpeningRequest,
  selection: Pick<Selection, 'userIds' | 'exceptUserIds'>,
): Record<string, unknown> {
  const { kind: _kind, mode, ...fields } = request
  const payload: Record<string, unknown> = isWriting(mode) ? { execute: true, ...fields } : { ...fields }
  if (request.userIds) payload.userIds = selection.userIds
  if (request.kind === 'run' && request.exceptUserIds) payload.exceptUserIds = selection.exceptUserIds
  return Object.fromEntries(Object.entries(payload).filter(([, value]) => value !== undefined))
}
