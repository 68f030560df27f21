import type { Asked } from '../archive/runs.ts'
import type { Store } from '../archive/s3/store.ts'
import type { Config } from '../config.ts'
import type { ExitCard } from '../exit-card.ts'
import type { Sql } from '../ledger/connection/connect.ts'
import type { Signer } from '../signing/signer.ts'

/** Everything that does I/O or reads a clock, passed in: tests pass real ones, against real servers. */
export type Tools = {
  readonly config: Config
  readonly store: Store
  /**
   * The connections of writing runs, and those of dry runs (which may log in as a role that can only read).
   */
  readonly ledger: { readonly writer: Sql; readonly reader: Sql }
  /** What signs the manifests of writing runs; null where no key is configured. */
  readonly signer: Signer | null
  /** The longest this invocation may take, in milliseconds. */
  readonly invocationMs: number
  /** Milliseconds until this invocation ends. */
  readonly timeLeft: () => number
  readonly now: () => Date
  readonly pause: (milliseconds: number) => Promise<void>
  /** The AWS region, for links to the console. */
  readonly region: string
  /** Who called: see Asked. */
  readonly caller: Pick<Asked, 'by' | 'via' | 'evidence' | 'requestId'>
  readonly log: (message: string, details: Readonly<Record<string, unknown>>) => void
  readonly onProgress: (card: ExitCard) => void
  /** This invocation closed a run. */
  readonly onClosed: (card: ExitCard) => void
  readonly onPage: (milliseconds: number) => void
  /** For how many seconds an open run has made no progress; 0 if none is open. */
  readonly onIdle: (seconds: number) => void
  /** Whether a check found everything in place. */
  readonly onCheck: (passed: boolean) => void
  /** How many differences a verification found. */
  readonly onVerified: (differences: number) => void
}
