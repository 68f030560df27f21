import { planUser } from '../../lambda/rules/plan.ts'
import type { LedgerTime, LedgerUser, Plan, RuleSettings, Transaction } from '../../lambda/rules/types.ts'
import { free, linkTo, SETTINGS, usd, userWith } from './examples.ts'
import { fc } from './fuzz.ts'
import { applied } from './outcome.ts'

type Grant = { kind: 'grant'; isFree: boolean; dollars: number; datedIn: number | null }

/** What happens to one user on one day. A date is that of a fifth day, so that many grants have the same. */
export type Event =
  | Grant
  | { kind: 'use'; dollars: number }
  | { kind: 'production pass' }
  | { kind: 'run of this job' }

/** Which of two worlds: every free grant is dated when it is issued, or some are left undated. */
export type World = 'dated from the start' | 'undated'

/** A user and their rows, in the order in which they were inserted. */
export type State = { user: LedgerUser; rows: Transaction[] }

const grants: fc.Arbitrary<Grant> = fc.record({
  kind: fc.constant('grant' as const),
  isFree: fc.integer({ min: 0, max: 3 }).map((one) => one > 0),
  dollars: fc.integer({ min: 1, max: 15 }),
  datedIn: fc.option(fc.constantFrom(1, 3, 6, 11, 20, 500), { freq: 2 }),
})
const uses: fc.Arbitrary<Event> = fc.record({
  kind: fc.constant('use' as const),
  dollars: fc.integer({ min: 1, max: 7 }),
})
const happening = fc.oneof(
  { weight: 9, arbitrary: grants },
  { weight: 9, arbitrary: uses },
  { weight: 6, arbitrary: fc.constant<Event>({ kind: 'production pass' }) },
  { weight: 1, arbitrary: fc.constant<Event>({ kind: 'run of this job' }) },
)

/** Histories of up to 40 days, mostly with something in them to expire. */
export const histories: fc.Arbitrary<Event[]> = fc.array(happening, { maxLength: 40, size: 'max' })

const day = (count: number): LedgerTime =>
  new Date(Date.UTC(2026, 0, 1) + count * 86_400_000).toISOString().replace('Z', '000Z')
/** The day on which a history is judged: after every event, before the dates that are far away. */
export const AFTERWARDS = day(100)
const FAR_AWAY = '2999-01-01T00:00:00.000000Z'

/** The settings of a run on some day. No row is too recent: there is a day between any two events. */
export function settingsOn(instant: LedgerTime): RuleSettings {
  return { ...SETTINGS, instant, minGrantAgeSeconds: 0 }
}

/** What this job plans in a state. */
export function runOfThisJob({ user, rows }: State, instant: LedgerTime): Plan {
  return planUser(user, rows, settingsOn(instant), { named: false, excluded: false, takenLinks: new Set() })
}

/**
 * The published algorithm of production, row by row: in order of date (rows of one date as they were
 * inserted), what is due claims from its baseline, is closed, and moves the baselines of those behind it.
 */
export function productionPass({ user, rows }: State, now: LedgerTime): State {
  const closed = new Set(rows.map((row) => row.originalTransactionId))
  const open = rows
    .filter((row) => row.expiryDate !== null && !closed.has(row.id))
    .map((row) => ({ row, date: row.expiryDate ?? '', baseline: row.expirationBaselineMicrodollars ?? 0 }))
    .toSorted((a, b) => (a.date === b.date ? 0 : a.date < b.date ? -1 : 1))
  const closings = open.flatMap(({ row, date, baseline: initial }, index) => {
    if (date > now) return []
    const baseline = open[index]?.baseline ?? initial
    const end = Math.min(baseline + row.amountMicrodollars, user.usedMicrodollars)
    const claimed = Math.max(0, end - baseline)
    for (const later of open.slice(index + 1))
      later.baseline += Math.max(0, Math.min(claimed, end - later.baseline))
    const expired = row.amountMicrodollars - claimed
    return [linkTo(row, 0, { id: `closing of ${row.id}`, amountMicrodollars: 0 - expired, createdAt: date })]
  })
  const baselines = new Map(open.map(({ row, baseline }) => [row.id, baseline]))
  return {
    user: {
      ...user,
      acquiredMicrodollars: closings.reduce(
        (total, row) => total + row.amountMicrodollars,
        user.acquiredMicrodollars,
      ),
    },
    rows: [
      ...rows.map((row) => ({
        ...row,
        expirationBaselineMicrodollars: baselines.get(row.id) ?? row.expirationBaselineMicrodollars,
      })),
      ...closings,
    ],
  }
}

/** Gives every open free grant this date: what turns a production pass into a run of this job. */
export function redated({ user, rows }: State, date: LedgerTime): State {
  const closed = new Set(rows.map((row) => row.originalTransactionId))
  const isOpenGrant = (row: Transaction): boolean =>
    row.isFree && row.creditCategory === 'promo' && !closed.has(row.id)
  return { user, rows: rows.map((row) => (isOpenGrant(row) ? { ...row, expiryDate: date } : row)) }
}

/** The state after a history. Where `overdraws` is false, usage ends with the balance. */
export function lived(events: readonly Event[], world: World, overdraws: boolean): State {
  return events.reduce<State>(
    (state, event, count) => next(state, event, { now: day(count), world, overdraws, count }),
    {
      user: userWith(0, 0),
      rows: [],
    },
  )
}

type Moment = { now: LedgerTime; world: World; overdraws: boolean; count: number }

function next(state: State, event: Event, moment: Moment): State {
  if (event.kind === 'grant') return issue(state, event, moment)
  if (event.kind === 'use') return use(state, event.dollars, moment.overdraws)
  const passed = productionPass(state, moment.now)
  if (event.kind === 'production pass') return passed
  if (moment.world === 'dated from the start') return productionPass(redated(passed, moment.now), moment.now)
  const after = applied(runOfThisJob(passed, moment.now), passed.rows)
  const idOf = (row: Transaction): string => (row.id === 'correction' ? `correction ${moment.count}` : row.id)
  return { user: after.user, rows: after.rows.map((row) => ({ ...row, id: idOf(row) })) }
}

function issue(
  { user, rows }: State,
  { isFree, dollars, datedIn }: Grant,
  { now, world, count }: Moment,
): State {
  const farAway = isFree && world === 'dated from the start' ? FAR_AWAY : null
  const expiryDate = datedIn === null ? farAway : day(5 * Math.ceil((count + datedIn) / 5))
  const grant = free(`grant ${String(count).padStart(2, '0')}`, dollars, {
    isFree,
    createdAt: now,
    expiryDate,
    expirationBaselineMicrodollars: expiryDate === null ? null : user.usedMicrodollars,
    originalBaselineMicrodollars: user.usedMicrodollars,
  })
  const acquiredMicrodollars = user.acquiredMicrodollars + grant.amountMicrodollars
  return { user: { ...user, acquiredMicrodollars }, rows: [...rows, grant] }
}

function use({ user, rows }: State, dollars: number, overdraws: boolean): State {
  const left = user.acquiredMicrodollars - user.usedMicrodollars
  const used = overdraws ? usd(dollars) : Math.min(usd(dollars), left)
  return { user: { ...user, usedMicrodollars: user.usedMicrodollars + used }, rows }
}
