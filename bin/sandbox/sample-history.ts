import type { Person } from './sample-people.ts'
import type { Random } from './sample-random.ts'

/** A row of credit_transactions. */
export type SampleTransaction = {
  id: string
  kilo_user_id: string
  amount_microdollars: number
  expiration_baseline_microdollars_used: number | null
  original_baseline_microdollars_used: number | null
  is_free: boolean
  description: string | null
  original_transaction_id: string | null
  stripe_payment_id: string | null
  coinbase_credit_block_id: string | null
  credit_category: string | null
  expiry_date: string | null
  created_at: string
  organization_id: string | null
  check_category_uniqueness: boolean
  created_by_kilo_user_id: string | null
}

/** What has happened to one user so far; amounts in microdollars, times in milliseconds. */
export type History = {
  person: Person
  random: Random
  signedUpAt: number
  used: number
  /** Taken away from the total without a row, as an early claw-back did. */
  clawedBack: number
  autoTopUp: boolean
  blockedReason: string | null
  transactions: SampleTransaction[]
}

/** Something that happens to a user at a time (milliseconds). */
export type Happening = (history: History, at: number) => void

const DAY_MS = 86_400_000
const CLOSING = new Set(['credits_expired', 'orb_credit_expired', 'orb_credit_voided'])

/** Tells a user's history from `[days before now, what happened]`, oldest first; the first one is the signing up. */
export function tell(person: Person, random: Random, now: number, events: [number, Happening][]): History {
  let time = 0
  const at = (daysAgo: number) => {
    const withinTheDay = daysAgo < 1 ? 0 : random.between(0, DAY_MS / 2)
    time = Math.max(time + 1000, Math.round(now - daysAgo * DAY_MS) + withinTheDay)
    return time
  }
  const history: History = {
    person,
    random,
    signedUpAt: at(events[0]?.[0] ?? 0),
    used: 0,
    clawedBack: 0,
    autoTopUp: false,
    blockedReason: null,
    transactions: [],
  }
  for (const [daysAgo, happening] of events) happening(history, at(daysAgo))
  return history
}

/** Microdollars of an amount in USD. */
export function usd(amount: number): number {
  return Math.round(amount * 1_000_000)
}

/** The balance so far, in microdollars. */
export function balanceOf(history: History): number {
  return acquiredBy(history) - history.used
}

/** The total acquired so far, in microdollars: personal rows, less what was clawed back. */
export function acquiredBy({ transactions, clawedBack }: History): number {
  const personal = transactions.filter((transaction) => transaction.organization_id === null)
  return personal.reduce((sum, transaction) => sum + transaction.amount_microdollars, 0) - clawedBack
}

/** The earliest date of a transaction that is not closed, as the application keeps it on the user. */
export function nextExpiration({ transactions }: History): string | null {
  const dates = openDated(transactions).map((transaction) => transaction.expiry_date ?? '')
  return dates.toSorted()[0] ?? null
}

/** Adds a row: a personal one without a link, unless `given` says otherwise. */
export function add(
  history: History,
  at: number,
  given: Partial<SampleTransaction> & Pick<SampleTransaction, 'amount_microdollars' | 'is_free'>,
): SampleTransaction {
  const dated = given.expiry_date !== undefined && given.expiry_date !== null
  const transaction: SampleTransaction = {
    id: history.random.uuid(),
    kilo_user_id: history.person.id,
    expiration_baseline_microdollars_used: dated ? history.used : null,
    original_baseline_microdollars_used: history.used,
    description: null,
    original_transaction_id: null,
    stripe_payment_id: null,
    coinbase_credit_block_id: null,
    credit_category: null,
    expiry_date: null,
    created_at: timeText(at, history.random),
    organization_id: null,
    check_category_uniqueness: false,
    created_by_kilo_user_id: null,
    ...given,
  }
  history.transactions.push(transaction)
  return transaction
}

/** A time as the database would have it, with microseconds. */
export function timeText(at: number, random: Random): string {
  return new Date(at).toISOString().replace('Z', `${random.digits(3)}Z`)
}

/** The production expiration pass, as it runs when a user with a due date comes by. */
export const productionPass: Happening = (history, at) => {
  const dated = openDated(history.transactions)
    .filter((transaction) => transaction.amount_microdollars > 0)
    .toSorted((a, b) => ((a.expiry_date ?? '') < (b.expiry_date ?? '') ? -1 : 1))
  for (const [index, credit] of dated.entries()) {
    if (credit.expiry_date === null || !(Date.parse(credit.expiry_date) <= at)) continue
    const baseline = credit.expiration_baseline_microdollars_used ?? 0
    const claimed = Math.max(0, Math.min(baseline + credit.amount_microdollars, history.used) - baseline)
    for (const later of dated.slice(index + 1)) {
      const itsBaseline = later.expiration_baseline_microdollars_used ?? 0
      const overlap = Math.min(claimed, baseline + claimed - itsBaseline)
      if (claimed > 0 && overlap > 0) later.expiration_baseline_microdollars_used = itsBaseline + overlap
    }
    add(history, at, {
      amount_microdollars: claimed - credit.amount_microdollars,
      is_free: credit.is_free,
      description: `Expired: ${credit.description ?? ''}`,
      credit_category: 'credits_expired',
      original_transaction_id: credit.id,
      created_at: credit.expiry_date,
    })
  }
}

function openDated(transactions: SampleTransaction[]): SampleTransaction[] {
  const closed = new Set(
    transactions
      .filter(({ credit_category: category }) => category !== null && CLOSING.has(category))
      .map((transaction) => transaction.original_transaction_id),
  )
  return transactions.filter(
    (transaction) =>
      transaction.organization_id === null && transaction.expiry_date !== null && !closed.has(transaction.id),
  )
}
