import type { Input } from './toy-ledger.ts'
import type { Body } from './toy-s3.ts'

/** The objects of the bucket, as far as the protocol needs them: 3-contract, "The bucket". */

export type Mode = 'execute' | 'rollback'
export type State = 'prepared' | 'open' | 'closing' | 'closed'
export type FinalStatus = 'complete' | 'complete_with_errors' | 'stopped' | 'cancelled'
export type Outcome =
  | 'expired'
  | 'no_targeted_grant'
  | 'rolled_back'
  | 'already_rolled_back'
  | 'changed_since'
  | 'failed'
  | 'not_reached'

/** One line of the users log; `changed` users have a line in the mutation log too. */
export type Line = {
  readonly user: number
  readonly outcome: Outcome
  readonly changed: boolean
  readonly attempt: string | null
  readonly amount: number
  /** What a rollback needs: the grant's values before and after. */
  readonly before: Pick<Input, 'date' | 'baseline'> | null
}
export type Part = Body & { readonly lines: readonly Line[] }

export const KINDS = ['users', 'mutations', 'errors'] as const
export type Kind = (typeof KINDS)[number]

export type Totals = { readonly users: number; readonly changed: number; readonly amount: number }
export type NamedPage = {
  readonly page: number
  readonly epoch: number
  /** The hash of each part, from its writer. A page without errors has no errors part. */
  readonly parts: Readonly<Record<Kind, string | null>>
}
export type Cursor = Body & {
  readonly runId: string
  readonly state: State
  readonly epoch: number
  readonly lease: { readonly invocation: string; readonly expiresAt: number } | null
  /** The latest expiry of a lease that was taken over instead of being released; 0: there was none. */
  readonly unreleasedUntil: number
  readonly named: readonly NamedPage[]
  readonly totals: Totals
  /** Of lower epochs than this, what predecessors may have left is emptied. */
  readonly emptiedBelow: number
  /** Decided when the state becomes `closing`. */
  readonly status: FinalStatus | null
}
export type Run = Body & {
  readonly runId: string
  readonly mode: Mode
  readonly requestKey: string
  /** The run that is rolled back, or null. */
  readonly target: string | null
  /** The frozen users; a rollback's carry the lines of the target's mutation log. */
  readonly pages: readonly (readonly { readonly user: number; readonly line: Line | null }[])[]
  readonly concurrency: number
  readonly pagesTotal: number
}
export type Writer = Body & { readonly runId: string | null }
export type Mark = Body & { readonly runId: string }
export type Card = Body & {
  readonly status: FinalStatus | 'incomplete'
  readonly totals: Totals
}
export type Manifest = Body & { readonly named: readonly NamedPage[] }
export type Intent = Body & {
  readonly page: number
  readonly epoch: number
  readonly attempt: string
  readonly leaseExpiresAt: number
  readonly inputs: readonly Input[]
}

export const EMPTY: Part = { etag: '', lines: [] }
export const WRITER_KEY = 'control/writer.json'
export const runKey = (runId: string) => `runs/${runId}/run.json`
export const cursorKey = (runId: string) => `runs/${runId}/cursor.json`
export const cancelKey = (runId: string) => `runs/${runId}/cancel.json`
export const cardKey = (runId: string) => `runs/${runId}/summary.json`
export const manifestKey = (runId: string) => `runs/${runId}/manifest.json`
export const closedRunKey = (runId: string) => `logs/runs/${runId}.jsonl`
export const markKey = (requestKey: string) => `control/requests/${requestKey}.json`
export const intentsPrefix = (runId: string, page: number) => `intents/${runId}/${pad(page, 5)}-`
export const intentKey = (runId: string, attempt: string) => `intents/${runId}/${attempt}.jsonl`
export const logPrefix = (kind: Kind, runId: string) => `logs/${kind}/${runId}/`
export const partKey = (kind: Kind, runId: string, page: number, epoch: number) =>
  `logs/${kind}/${runId}/${pad(page, 5)}-${pad(epoch, 4)}.jsonl`
export const attemptId = (page: number, epoch: number, n: number) =>
  `${pad(page, 5)}-${pad(epoch, 4)}-${pad(n, 2)}`

export function partOf(lines: readonly Line[]): Part {
  return { etag: lines.map(hashOf).join('\n'), lines }
}

/**
 * The manifest takes everything from the cursor, so that every holder that closes the run writes the same
 * bytes.
 */
export function manifestOf({ named }: Cursor): Manifest {
  const said = named.map(
    ({ page, epoch, parts }) => `${page}-${epoch} ${parts.users} ${parts.mutations} ${parts.errors}`,
  )
  return { etag: said.join('\n'), named }
}

export const NO_TOTALS: Totals = { users: 0, changed: 0, amount: 0 }

export function totalsOf(lines: readonly Line[]): Totals {
  const changed = lines.filter((line) => line.changed)
  const amount = changed.reduce((sum, line) => sum + line.amount, 0)
  return { users: lines.length, changed: changed.length, amount }
}

export function addTotals(one: Totals, other: Totals): Totals {
  return {
    users: one.users + other.users,
    changed: one.changed + other.changed,
    amount: one.amount + other.amount,
  }
}

/** In page order, at most `concurrency`: no other page that the cursor does not name can have been begun. */
export function firstUnnamed(run: Run, cursor: Cursor): readonly number[] {
  const unnamed = run.pages.map((_, page) => page).filter((page) => !isNamed(cursor, page))
  return unnamed.slice(0, run.concurrency)
}

export function isNamed(cursor: Cursor, page: number): boolean {
  return cursor.named.some((named) => named.page === page)
}

function hashOf({ user, outcome, attempt, amount }: Line): string {
  return `${user} ${outcome} ${attempt} ${amount}`
}

function pad(number: number, digits: number): string {
  return String(number).padStart(digits, '0')
}
