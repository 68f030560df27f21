import { readWriter } from '../../lambda/archive/control.ts'
import { findCursor } from '../../lambda/archive/cursor.ts'
import { readRun } from '../../lambda/archive/runs.ts'
import type { ExitCard } from '../../lambda/exit-card.ts'
import { readServer, type Server } from '../../lambda/ledger/server.ts'
import { nearestFew } from '../../lambda/nearest.ts'
import { type ListedRun, listRuns, type UnreadableRun } from '../../lambda/insight/runs.ts'
import type { Tools } from '../../lambda/run/tools.ts'
import { UsageError } from './options.ts'

/*
 * Everything that the command reads beside the handler: which runs there are, who holds a lease, which users an option
 * names. Nothing here writes.
 */

export { listRuns, type ListedRun, type UnreadableRun }

/** Where a writing command would write. @throws LedgerUnavailable */
export async function target({ ledger, store }: Tools): Promise<Server & { readonly bucket: string }> {
  return { ...(await readServer(ledger.writer)), bucket: store.bucket }
}

/** When the lease of a run expires, as ISO text; null where none is held. @throws ArchiveUnavailable, ArchiveCorrupt */
export async function leaseExpiresAt(runId: string, { store }: Tools): Promise<string | null> {
  return (await findCursor(store, runId))?.document.lease?.expiresAt ?? null
}

/** The domains that a run was opened with. @throws ArchiveUnavailable, ArchiveCorrupt */
export async function domainsOf(runId: string, { store }: Tools): Promise<readonly string[]> {
  return (await readRun(store, runId))?.selection.domains ?? []
}

const CLOSED: readonly ExitCard['status'][] = ['complete', 'complete_with_errors', 'stopped', 'cancelled']

/** What `latest` means for a field of the payload. */
const LATEST: Readonly<
  Record<string, { readonly what: string; readonly fits: (run: ListedRun) => boolean }>
> = {
  plan: {
    what: 'complete dry run',
    fits: ({ mode, status }) => mode === 'dry-run' && status === 'complete',
  },
  rollback: {
    what: 'closed execute run',
    fits: ({ mode, status }) => mode === 'execute' && CLOSED.includes(status),
  },
  resume: { what: 'open run', fits: ({ status }) => status === 'incomplete' || status === 'busy' },
  cancel: { what: 'open run', fits: ({ status }) => status === 'incomplete' || status === 'busy' },
}

/**
 * The run id that `latest` means.
 * @throws UsageError when no run fits, ArchiveUnavailable, ArchiveCorrupt
 */
export async function latestRun(field: string, tools: Tools): Promise<string> {
  const writer = (await readWriter(tools.store))?.document.runId ?? null
  if (field === 'restart') {
    if (writer !== null) return writer
    throw new UsageError('--restart: no writing run is open. Nothing was done. Leave --restart out.')
  }
  const wanted = LATEST[field]
  const runs = (await listRuns(tools)).filter((run) => 'mode' in run)
  const open = wanted?.what === 'open run' ? runs.find(({ runId }) => runId === writer) : undefined
  const found = open ?? runs.find((run) => wanted?.fits(run))
  if (found) return found.runId
  throw new UsageError(
    `--${field} latest: there is no ${wanted?.what ?? 'such run'} in the bucket. Nothing was done. npm start -- --runs lists the runs.`,
  )
}

/** @throws UsageError for a domain that is not configured, with the nearest one */
export function checkDomains(domains: readonly string[], { config }: Tools): void {
  for (const domain of domains) {
    if (config.domains.includes(domain.toLowerCase())) continue
    const [likely] = nearestFew(domain, config.domains, 1)
    const hint =
      likely === undefined ? `It must be one of ${config.domains.join(', ')}.` : `Did you mean ${likely}?`
    throw new UsageError(`--domains ${domain} is not a configured domain. ${hint} Nothing was done.`)
  }
}
