import type { Host } from '../../lambda/host.ts'

/** Long enough for a busy machine, and short enough for a trial a call. */
export const SHORT_WAITS: NonNullable<Host['waits']> = {
  ledger: { connectMs: 2_000, statementMs: 2_000, idleMs: 1_000 },
  aws: { requestMs: 2_000, silenceMs: 2_000, pauseMs: 20 },
}

/** Without a fault, nothing times out, however busy the machine is. */
export const LONG_WAITS: NonNullable<Host['waits']> = { ledger: { connectMs: 60_000, statementMs: 60_000 } }

/** For tests that hold a request: neither side gives up. */
export const PATIENT_WAITS: NonNullable<Host['waits']> = {
  ledger: { connectMs: 60_000, statementMs: 300_000, idleMs: 300_000 },
  aws: { requestMs: 600_000, silenceMs: 600_000 },
}
