import { setImmediate as others } from 'node:timers/promises'
import type { Observed, PageMode, Planning } from './modes/mode.ts'

/** Planning these takes a few milliseconds. */
const USERS_AT_A_TIME = 20

/**
 * Plans users, each with what became of it, in their order. A transaction of another page may hold user rows
 * locked meanwhile and wait for this thread to send its next statement, so it gets its turn every few users.
 */
export async function planUsers(
  mode: PageMode,
  userIds: readonly string[],
  observed: Observed,
  attempt: string,
  takenLinks: ReadonlySet<string>,
): Promise<[userId: string, planning: Planning][]> {
  const plannings: [string, Planning][] = []
  for (const userId of userIds) {
    if (plannings.length > 0 && plannings.length % USERS_AT_A_TIME === 0) await others()
    plannings.push([userId, mode.plan(userId, observed, attempt, takenLinks)])
  }
  return plannings
}

/** Lets one at a time through, in the order in which they came. */
export type Turns = { readonly take: <T>(work: () => Promise<T>) => Promise<T> }

/**
 * The pages of an invocation plan in turn: the first is written while the next is planned. If they all planned
 * at once, they would all be ready at once, and then keep each other's rows locked.
 */
export function openTurns(): Turns {
  let last: Promise<unknown> = Promise.resolve()
  return {
    async take(work) {
      const mine = last.then(work)
      last = mine.catch(() => undefined)
      return mine
    },
  }
}
