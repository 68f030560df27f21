import { add, balanceOf, productionPass, timeText, usd } from './sample-history.ts'
import type { Happening, SampleTransaction } from './sample-history.ts'

const DAY_MS = 86_400_000

type Free = { category: string; description: string; unique?: boolean }

/** The free grants that the sample ledger gives, with their categories. */
export const FREE = {
  welcome: { category: 'automatic-welcome-credits', description: 'Free credits for new users', unique: true },
  promo: { category: 'conference-booth-2026', description: 'Promotional credits from our conference booth' },
  hackathon: { category: 'internal-hackathon', description: 'Hackathon credits' },
  referring: { category: 'referral-referring-bonus', description: 'Referral bonus for inviting a friend' },
  redeeming: {
    category: 'referral-redeeming-bonus',
    description: 'Referral bonus for joining',
    unique: true,
  },
  topUpBonus: {
    category: 'first-top-up-bonus',
    description: 'Bonus credits for the first top-up',
    unique: true,
  },
  team: { category: 'team-testing-credits', description: 'Testing credits for the team' },
} as const satisfies Record<string, Free>

/** How many days a credit lasts; an undated one has no date, and 'infinity' is a date that never comes. */
export type Lasting = number | 'undated' | 'infinity'

/** A free grant, personal and without links unless `more` says otherwise. */
export function grant(
  free: Free,
  dollars: number,
  days: Lasting = 'undated',
  more: Partial<SampleTransaction> = {},
): Happening {
  return (history, at) => {
    add(history, at, {
      amount_microdollars: usd(dollars),
      is_free: true,
      description: free.description,
      credit_category: free.category,
      check_category_uniqueness: free.unique ?? false,
      expiry_date: expiryAfter(days, at),
      ...more,
    })
  }
}

/** A paid top-up. */
export function topUp(dollars: number, days: Lasting = 'undated'): Happening {
  return (history, at) => {
    add(history, at, {
      amount_microdollars: usd(dollars),
      is_free: false,
      description: 'Top-up via Stripe',
      stripe_payment_id: `pi_3S${history.random.uuid().replaceAll('-', '').slice(0, 22)}`,
      expiry_date: expiryAfter(days, at),
    })
  }
}

/** Usage of a fixed amount. */
export function spend(dollars: number): Happening {
  return (history) => {
    history.used += usd(dollars)
  }
}

/** Usage of about this share of what is left, to the microdollar. */
export function spendShare(share: number): Happening {
  return (history) => {
    const left = Math.max(0, balanceOf(history))
    history.used += Math.floor(left * share * (0.8 + history.random.next() * 0.2))
  }
}

/** Everything that is left is spent. */
export const spendAll: Happening = (history) => {
  history.used += Math.max(0, balanceOf(history))
}

/** Credits taken from the total without a row of their own. */
export function clawBack(dollars: number): Happening {
  return (history) => {
    history.clawedBack += usd(dollars)
  }
}

/** A row that belongs to the grant given last. */
function afterLastGrant(
  row: (
    grantRow: SampleTransaction,
  ) => Partial<SampleTransaction> & Pick<SampleTransaction, 'amount_microdollars'>,
): Happening {
  return (history, at) => {
    const last = history.transactions.findLast((transaction) => transaction.amount_microdollars > 0)
    if (last === undefined) throw new Error('There is no grant that this could belong to.')
    add(history, at, { is_free: last.is_free, ...row(last) })
  }
}

/** A part of the grant given last is refunded, by a row that links it. */
export function refund(dollars: number): Happening {
  return afterLastGrant(({ id }) => ({
    amount_microdollars: -usd(dollars),
    description: 'Partial refund',
    credit_category: 'refund',
    original_transaction_id: id,
  }))
}

/** The grant given last is voided by the former billing provider, with or without a link to it. */
export function orbVoid(dollars: number, linked: boolean): Happening {
  return afterLastGrant(({ id }) => ({
    amount_microdollars: -usd(dollars),
    description: 'Credits voided during the billing migration',
    credit_category: linked ? 'orb_credit_voided' : 'orb_credit_expired',
    original_transaction_id: linked ? id : null,
  }))
}

/** A negative row with a date: credit that was borrowed, and comes back then. */
export function borrow(dollars: number, days: number): Happening {
  return (history, at) => {
    add(history, at, {
      amount_microdollars: -usd(dollars),
      is_free: true,
      description: 'Temporary debit',
      credit_category: 'manual-debit',
      expiry_date: expiryAfter(days, at),
    })
  }
}

/** What the earlier one-off script left behind: everything expired, and the balance brought to zero. */
export const earlierScript: Happening = (history, at) => {
  for (const transaction of history.transactions) {
    if (transaction.is_free && transaction.amount_microdollars > 0) {
      transaction.expiry_date = timeText(at, history.random)
      transaction.expiration_baseline_microdollars_used = transaction.original_baseline_microdollars_used
    }
  }
  productionPass(history, at + 1)
  const missing = -balanceOf(history)
  if (missing <= 0) return
  add(history, at, {
    amount_microdollars: missing,
    is_free: true,
    description: 'Correction to $0 after expiring internal free credits',
    credit_category: 'accounting_adjustment',
  })
}

/** The user lets the application charge a card when the balance gets low. */
export const autoTopUp: Happening = (history) => {
  history.autoTopUp = true
}

/** The account is blocked. */
export function block(reason: string): Happening {
  return (history) => {
    history.blockedReason = reason
  }
}

function expiryAfter(days: Lasting, at: number): string | null {
  if (days === 'undated') return null
  return days === 'infinity' ? 'infinity' : new Date(at + days * DAY_MS).toISOString()
}
