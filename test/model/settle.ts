import type { Intent, Line } from './bucket.ts'
import { attemptOpen, type Holder, openIntents, type Recovered } from './holder.ts'
import { loggedLine, plan } from './plan.ts'
import {
  begin,
  type Input,
  inputOf,
  lock,
  query,
  rollBack,
  statement,
  type Transaction,
} from './toy-ledger.ts'
import { count, LOST, sleep, type Steps, type World } from './world.ts'

/** Finds out which attempts committed: 2-run-protocol, "Crashes and stalls". */

const TRIES = 4

/** Settles all intents of every page that the cursor does not name. */
export function* settleOpenPages(holder: Holder): Steps<Recovered> {
  yield* refuseUnexpired(holder)
  const intents = yield* openIntents(holder)
  const recovered = new Map<number, ReadonlyMap<number, Line>>()
  for (const page of new Set(intents.map((intent) => intent.page))) {
    const ofPage = intents.filter((intent) => intent.page === page)
    recovered.set(page, yield* settle(holder, ofPage))
  }
  return recovered
}

/** Another holder's attempt may commit until its lease expires, unless that holder released it. */
function* refuseUnexpired({ place: { world, mistake }, cursor: { unreleasedUntil } }: Holder): Steps<void> {
  if (unreleasedUntil === 0 || mistake === 'a lease expired once taken as expired for good') return
  const now = yield* query('clock', () => {
    if (unreleasedUntil < world.now) world.setBackTo = Math.max(world.setBackTo, unreleasedUntil + 1)
    return world.now
  })
  if (unreleasedUntil < now) return
  count(world, 'lease unexpired again, since the clock was set back')
  throw attemptOpen
}

/**
 * Settles attempts of one page: the lines of the users who are done; a user without a line is not done.
 * Throws attemptOpen where users stay locked: they are open, never failed and never planned again.
 */
export function* settle(
  holder: Holder,
  intents: readonly Intent[],
  only: readonly number[] | null = null,
): Steps<Map<number, Line>> {
  const { ledger, world } = holder.place
  const attempted = attemptedUsers(holder, intents).filter((user) => !only || only.includes(user))
  const find = (users: readonly number[]) => users.map((user) => inputOf(ledger, user))
  const done = new Map<number, Line>()
  const take = (inputs: readonly Input[]): void => {
    for (const input of inputs) {
      const line = committedLine(holder, intents, input)
      if (line) done.set(input.user, line)
    }
  }
  take(yield* query('find rows', () => find(attempted)))
  const unknown = attempted.filter((user) => !done.has(user))
  if (unknown.length > 0 && holder.place.mistake !== 'settling without a lock')
    take(yield* lockThenFind(holder, unknown, find))
  for (const user of attempted)
    count(world, done.has(user) ? 'attempt settled as done' : 'attempt settled as not done')
  return done
}

/** Lock, then look in a later statement: in one, the look-up would miss a row that is committed meanwhile. */
function* lockThenFind(
  { place }: Holder,
  users: readonly number[],
  find: (users: readonly number[]) => readonly Input[],
): Steps<readonly Input[]> {
  const { world, ledger, mistake } = place
  for (let tries = 0; tries < TRIES; tries += 1) {
    const transaction = begin(world, '', '')
    const snapshot = mistake === 'lock and look-up in one statement' ? find(users) : null
    const locked = yield* statement('lock', null, () => lock(world, ledger, transaction, users, 'wait'))
    if (locked !== LOST && locked.length === users.length) {
      const found = snapshot ?? (yield* statement('find rows', null, () => find(users)))
      if (found !== LOST && transaction.open) {
        rollBack(transaction)
        return found
      }
    }
    giveUp(world, transaction)
    yield* sleep()
  }
  count(world, 'attempt left open')
  throw attemptOpen
}

/** The line planned from the inputs of the attempt that committed for a user, or null. */
function committedLine(holder: Holder, intents: readonly Intent[], now: Input): Line | null {
  const { run, place } = holder
  const planned = intents
    .flatMap((intent) => {
      const input = intent.inputs.find(({ user }) => user === now.user)
      return input ? [{ intent, ...plan(run, intent.page, intent.attempt, input) }] : []
    })
    .filter(({ change }) => change !== null)
  if (run.mode === 'execute')
    return (
      planned.find(({ intent }) => now.row?.runId === run.runId && now.row.attempt === intent.attempt)
        ?.line ?? null
    )
  const latest = planned.toSorted((a, b) => (a.intent.attempt < b.intent.attempt ? 1 : -1))[0]
  if (!latest) return null
  if (place.mistake === 'rollback settled by grant values') {
    const { before } = loggedLine(run, latest.intent.page, now.user)
    return now.baseline === before?.baseline ? latest.line : null
  }
  return now.row === null && now.date !== run.target ? latest.line : null
}

function attemptedUsers({ run }: Holder, intents: readonly Intent[]): readonly number[] {
  const attempted = intents.flatMap((intent) =>
    intent.inputs
      .filter((input) => plan(run, intent.page, intent.attempt, input).change !== null)
      .map(({ user }) => user),
  )
  return [...new Set(attempted)].toSorted((a, b) => a - b)
}

/**
 * The client goes away without a COMMIT: the server sees it at once, or when the transaction has been idle
 * too long.
 */
export function giveUp(world: World, transaction: Transaction): void {
  if (world.random.chance(0.6)) rollBack(transaction)
}
