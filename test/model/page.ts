import {
  addTotals,
  attemptId,
  type Cursor,
  type Intent,
  intentKey,
  isNamed,
  type Kind,
  KINDS,
  type Line,
  type NamedPage,
  partKey,
  partOf,
  totalsOf,
} from './bucket.ts'
import { type Holder, leaseLost, mark, updateCursor } from './holder.ts'
import { bareLine, plan, type Planned } from './plan.ts'
import { giveUp, settle } from './settle.ts'
import {
  begin,
  type Change,
  commit,
  type Input,
  inputOf,
  lock,
  query,
  rollBack,
  statement,
  type Transaction,
  write,
} from './toy-ledger.ts'
import { type Body, create, get, put } from './toy-s3.ts'
import { count, LOST, type Steps } from './world.ts'

/** The story of one page: 2-run-protocol, "One page of an execute run, in this order". */

/** From this attempt on, users are taken alone, with the lock before the read. */
const ALONE_FROM = 3
const MAX_ATTEMPTS = 8

export function* workPage(holder: Holder, page: number): Steps<void> {
  const users = (holder.run.pages[page] ?? []).map(({ user }) => user)
  const lines = new Map(holder.recovered.get(page))
  for (let n = 1; n <= MAX_ATTEMPTS; n += 1) {
    const todo = users.filter((user) => !lines.has(user))
    if (todo.length === 0) break
    const alone = n >= ALONE_FROM
    const tried = alone ? todo.slice(0, 1) : todo
    for (const line of yield* attempt(holder, page, n, tried, alone)) lines.set(line.user, line)
  }
  const outcome = users.map((user) => lines.get(user) ?? bareLine(user, 'failed'))
  yield* finishPage(holder, page, outcome)
}

/** Writes the page's parts, then names them in the cursor. Never the other way round. */
function* finishPage(holder: Holder, page: number, lines: readonly Line[]): Steps<void> {
  if (holder.place.mistake === 'page named in the cursor before its parts are written') {
    yield* nameInCursor(holder, page, lines)
    yield* writeParts(holder, page, lines)
    return
  }
  yield* writeParts(holder, page, lines)
  yield* nameInCursor(holder, page, lines)
}

/**
 * One attempt: read, plan, intent, apply, and settle what is uncertain. Returns the lines of users who are
 * done.
 */
function* attempt(
  holder: Holder,
  page: number,
  n: number,
  users: readonly number[],
  alone: boolean,
): Steps<readonly Line[]> {
  const { world, mistake } = holder.place
  const id = attemptId(page, holder.epoch, mistake === 'attempt numbers repeated' ? 1 : n)
  const locked = alone ? yield* lockFirst(holder, id, users) : null
  if (alone && !locked) return []
  const inputs = yield* readPage(holder, users)
  const planned = inputs.map((input) => plan(holder.run, page, id, input))
  const lines = planned.filter(({ change }) => !change).map(({ line }) => line)
  const changing = planned.filter(({ change }) => change)
  if (changing.length > 0) {
    const intent = yield* writeIntent(holder, page, id, inputs)
    const size = locked ? 1 : world.random.between(1, 2)
    for (let at = 0; at < changing.length; at += size)
      lines.push(...(yield* apply(holder, intent, changing.slice(at, at + size), locked)))
  }
  if (locked) rollBack(locked)
  return lines
}

function* lockFirst(holder: Holder, id: string, users: readonly number[]): Steps<Transaction | null> {
  const { world, ledger } = holder.place
  const transaction = begin(world, holder.run.runId, id)
  const locked = yield* statement('lock', id, () => lock(world, ledger, transaction, users, 'wait'))
  if (locked !== LOST && locked.length === users.length) return transaction
  giveUp(world, transaction)
  return null
}

function* readPage({ place }: Holder, users: readonly number[]): Steps<readonly Input[]> {
  return yield* query('read', () => users.map((user) => inputOf(place.ledger, user)))
}

function* writeIntent(holder: Holder, page: number, id: string, inputs: readonly Input[]): Steps<Intent> {
  const { epoch, leaseExpiresAt, place } = holder
  const etag = inputs
    .map(({ user, used, date, baseline, row }) => `${user} ${used} ${date} ${baseline} ${row?.attempt}`)
    .join('\n')
  const intent: Intent = { etag: `${id}\n${etag}`, page, epoch, attempt: id, leaseExpiresAt, inputs }
  const stored = yield* create(place.s3, intentKey(holder.run.runId, id), intent)
  if (!stored && place.mistake !== 'attempt numbers repeated') throw leaseLost
  if (place.mistake === 'marked after the first intent')
    yield* mark(place, holder.run.requestKey, holder.run.runId)
  return intent
}

/**
 * One short transaction under an intent. COMMIT is sent only after the reply that the lease has not expired.
 */
function* apply(
  holder: Holder,
  intent: Intent,
  planned: readonly Planned[],
  locked: Transaction | null,
): Steps<readonly Line[]> {
  const { world, ledger, mistake } = holder.place
  const id = intent.attempt
  const transaction = locked ?? begin(world, holder.run.runId, id)
  const users = planned.map(({ line }) => line.user)
  const changes = planned.flatMap(({ change }): Change[] => (change ? [change] : []))
  if (!locked) {
    const free = yield* statement('lock', id, () => lock(world, ledger, transaction, users, 'skip'))
    if (free === LOST) return abandon(holder, transaction)
  }
  const written = yield* statement('write', id, () =>
    users.some((user) => isDamaged(holder, user)) ? false : write(world, ledger, transaction, changes),
  )
  if (written === LOST) return abandon(holder, transaction)
  if (written === false) {
    rollBack(transaction)
    // A group that fails for a data reason is tried again one user at a time; a user who fails alone is
    // `failed`.
    return locked ? users.map((user) => bareLine(user, 'failed')) : []
  }
  const guarded = new Set(written)
  if (guarded.size < users.length) count(world, 'guard failed')
  const inTime = yield* statement('check lease', id, () => world.now <= holder.leaseExpiresAt)
  if (inTime === LOST) return abandon(holder, transaction)
  if (!inTime && mistake !== 'no clock check before COMMIT') {
    rollBack(transaction)
    count(world, 'lease expired before COMMIT')
    throw leaseLost
  }
  const committed = yield* statement('commit', id, () => commit(ledger, transaction))
  const lines = planned.map(({ line }) => line).filter(({ user }) => guarded.has(user))
  if (committed === true) return lines
  if (mistake === 'an uncertain commit taken as not done') return []
  const settled = yield* settle(holder, [intent], [...guarded])
  count(world, settled.size > 0 ? 'uncertain commit settled as done' : 'uncertain commit settled as not done')
  return [...settled.values()]
}

/** Nothing was committed: no COMMIT was sent. */
function abandon({ place }: Holder, transaction: Transaction): readonly Line[] {
  giveUp(place.world, transaction)
  return []
}

/**
 * Whether the ledger refuses this user's values from this holder: another holder may find the cause fixed.
 */
function isDamaged({ place, epoch }: Holder, user: number): boolean {
  return place.damage > 0 && (user + 3 * epoch + place.damage) % 5 === 0
}

/** Creates the parts of this holder's epoch. Other bytes under the key mean that the lease is lost. */
export function* writeParts(holder: Holder, page: number, lines: readonly Line[]): Steps<void> {
  const { place, run, epoch } = holder
  for (const kind of KINDS) {
    const part = partOf(linesOf(kind, lines))
    if (kind === 'errors' && part.lines.length === 0) continue
    if (place.mistake === 'keys without an epoch')
      yield* overwrite(holder, partKey(kind, run.runId, page, 0), part)
    else if (!(yield* create(place.s3, partKey(kind, run.runId, page, epoch), part))) throw leaseLost
  }
}

function* overwrite({ place }: Holder, key: string, body: Body): Steps<void> {
  for (;;) {
    const found = yield* get(place.s3, key)
    const result = yield* put(place.s3, key, body, found ? { ifMatch: found.etag } : { ifNoneMatch: '*' })
    if (result === 'stored') return
  }
}

function* nameInCursor(holder: Holder, page: number, lines: readonly Line[]): Steps<void> {
  yield* updateCursor(holder, (cursor) => {
    const named = withPage(holder, cursor, page, lines)
    return named === cursor ? null : named
  })
}

/** Names the page and adds its totals. Naming a page already named changes nothing, totals included. */
export function withPage(
  { place: { mistake }, epoch }: Holder,
  cursor: Cursor,
  page: number,
  lines: readonly Line[],
): Cursor {
  const totals = addTotals(cursor.totals, totalsOf(lines))
  if (isNamed(cursor, page))
    return mistake === 'totals added again when a page is named twice' ? { ...cursor, totals } : cursor
  const named: NamedPage = {
    page,
    epoch: mistake === 'keys without an epoch' ? 0 : epoch,
    parts: hashes(lines),
  }
  return { ...cursor, named: [...cursor.named, named], totals }
}

function hashes(lines: readonly Line[]): Readonly<Record<Kind, string | null>> {
  const errors = partOf(linesOf('errors', lines))
  return {
    users: partOf(lines).etag,
    mutations: partOf(linesOf('mutations', lines)).etag,
    errors: errors.lines.length > 0 ? errors.etag : null,
  }
}

function linesOf(kind: Kind, lines: readonly Line[]): readonly Line[] {
  if (kind === 'users') return lines
  if (kind === 'mutations') return lines.filter(({ changed }) => changed)
  return lines.filter(({ outcome }) => outcome === 'failed')
}
