import type { Run } from '../archive/documents.ts'
import type { Config, Limits } from '../config.ts'
import { InvalidEvent, type RollbackRequest, type RunRequest } from '../event.ts'

/** A payload that opens a run. */
export type OpeningRequest = RunRequest | RollbackRequest

/** The domains and users that a payload asks for, resolved against the configuration. @throws InvalidEvent */
export function askedUsers(
  request: RunRequest,
  config: Config,
): Pick<Run['selection'], 'domains' | 'userIds'> {
  const strangers = (request.domains ?? []).filter((domain) => !config.domains.includes(domain))
  if (strangers.length > 0) {
    throw new InvalidEvent(
      `The event is not valid: field "domains": ${strangers.join(', ')} is not among the configured domains ${config.domains.join(', ')}; an event can only narrow them. Nothing was done. A valid payload: {"domains": ["${config.domains[0]}"]}.`,
    )
  }
  return {
    domains: [...new Set(request.domains ?? config.domains)].toSorted(),
    userIds: request.userIds ? [...new Set(request.userIds)].toSorted() : null,
  }
}

/** Configured limits, where the payload does not lower them. @throws InvalidEvent when it would raise one */
export function limitsOf(request: OpeningRequest, config: Config): Limits {
  const asked = request.kind === 'run' ? request.limits : undefined
  for (const key of ['users', 'grants', 'usd', 'correctionsUsd'] as const) {
    const value = asked?.[key]
    if (value !== undefined && value > config.limits[key]) {
      throw new InvalidEvent(
        `The event is not valid: field "limits.${key}": ${value} is above the configured ${config.limits[key]}; an event can only lower a limit. Nothing was done.`,
      )
    }
  }
  return { ...config.limits, ...asked }
}

/** Whether a payload asks for what an open run does: same mode, domains, userIds, plan or rollback. Other fields don't count. */
export function asksForSame(request: OpeningRequest, run: Run, config: Config): boolean {
  if (request.mode !== run.mode) return false
  if (request.kind === 'rollback') return run.selection.rollback === request.rollback
  if (request.plan !== undefined) return run.selection.plan === request.plan
  const { domains, userIds } = askedUsers(request, config)
  return (
    run.selection.plan === null &&
    sameTexts(run.selection.domains, domains) &&
    sameTexts(run.selection.userIds, userIds)
  )
}

/** Whether a payload is the one that a run was opened with, in all that makes a run; whatever the configuration was and is. */
export function isSentAgain(request: OpeningRequest, { mode, asked }: Run): boolean {
  return request.mode === mode && whatIsAsked({ ...request }) === whatIsAsked(asked.payload)
}

function whatIsAsked({ domains, userIds, plan, rollback }: Readonly<Record<string, unknown>>): string {
  return JSON.stringify([sortedTexts(domains), sortedTexts(userIds), plan ?? null, rollback ?? null])
}

function sortedTexts(list: unknown): string[] | null {
  return Array.isArray(list) ? [...new Set(list.map(String))].toSorted() : null
}

function sameTexts(a: readonly string[] | null, b: readonly string[] | null): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}
