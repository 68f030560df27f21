import type { LineContext } from './user-line.ts'

/** The step in which a user failed. */
export type ErrorStage = 'read' | 'plan' | 'intent' | 'apply' | 'outcome'

/** Why a user failed, as the errors log shows it. */
export type UserFailure = {
  readonly stage: ErrorStage
  readonly error: string
  readonly sqlState: string | null
  readonly message: string
  readonly attempts: number
}

/** One line of the errors log: which user failed, where, and after how many attempts. */
export function errorLine(
  { runId, at, attempt }: LineContext,
  userId: string,
  page: number,
  failure: UserFailure,
  now: Date,
): object {
  return {
    run_id: runId,
    at,
    attempt,
    user_id: userId,
    page,
    stage: failure.stage,
    error: failure.error,
    sqlstate: failure.sqlState,
    message: failure.message,
    attempts: failure.attempts,
    failed_at: now.toISOString(),
  }
}
