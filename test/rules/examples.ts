import { planUser } from '../../lambda/rules/plan.ts'
import { DEFAULT_REVIEW_CATEGORIES } from '../../lambda/rules/review.ts'
import type {
  Circumstances,
  LedgerTime,
  LedgerUser,
  Plan,
  RuleSettings,
  Transaction,
} from '../../lambda/rules/types.ts'

/** The instant of every example. */
export const INSTANT: LedgerTime = '2026-11-22T06:12:30.123000Z'
/** Dates before and after the instant. */
export const LAST_YEAR: LedgerTime = '2025-11-22T00:00:00.000000Z'
export const LAST_MONTH: LedgerTime = '2026-10-22T00:00:00.000000Z'
export const NEXT_MONTH: LedgerTime = '2026-12-22T00:00:00.000000Z'
/** The correction that the one-off script wrote. */
export const LISTED_CORRECTION = 'Correction to $0 after expiring internal free credits'

export const SETTINGS: RuleSettings = {
  instant: INSTANT,
  minGrantAgeSeconds: 60,
  correctionDescriptions: [LISTED_CORRECTION],
  reviewCategories: DEFAULT_REVIEW_CATEGORIES,
  categories: null,
  excludedCategories: [],
}

/** An amount of US dollars in microdollars; never -0. */
export function usd(dollars: number): number {
  return Math.round(dollars * 1_000_000) + 0
}

/** A user who used and acquired so many dollars. */
export function userWith(used: number, acquired: number, fields: Partial<LedgerUser> = {}): LedgerUser {
  return {
    id: 'ada',
    email: 'ada@kilo.ai',
    usedMicrodollars: usd(used),
    acquiredMicrodollars: usd(acquired),
    nextCreditExpirationAt: null,
    autoTopUpEnabled: false,
    ...fields,
  }
}

/** A free, undated, personal grant of so many dollars, issued a year ago at a usage of 0. */
export function free(id: string, dollars: number, fields: Partial<Transaction> = {}): Transaction {
  return {
    id,
    amountMicrodollars: usd(dollars),
    expirationBaselineMicrodollars: null,
    originalBaselineMicrodollars: 0,
    isFree: true,
    description: 'Promo',
    creditCategory: 'promo',
    originalTransactionId: null,
    expiryDate: null,
    createdAt: LAST_YEAR,
    organizationId: null,
    ...fields,
  }
}

/** The same, paid for. */
export function paid(id: string, dollars: number, fields: Partial<Transaction> = {}): Transaction {
  return free(id, dollars, { isFree: false, description: 'Top-up', creditCategory: null, ...fields })
}

/** A date, with the baseline in dollars that production keeps for a dated grant. */
export function dated(expiryDate: LedgerTime, baseline = 0): Partial<Transaction> {
  return {
    expiryDate,
    expirationBaselineMicrodollars: usd(baseline),
    originalBaselineMicrodollars: usd(baseline),
  }
}

/** A row that links to a grant: it closes it and takes back so many dollars, unless of another category. */
export function linkTo(
  grant: Transaction,
  dollarsBack: number,
  fields: Partial<Transaction> = {},
): Transaction {
  return free(`${grant.id} link`, -dollarsBack, {
    isFree: grant.isFree,
    description: `Expired: ${grant.description ?? ''}`,
    creditCategory: 'credits_expired',
    originalTransactionId: grant.id,
    ...fields,
  })
}

/** The plan of a user with these rows. */
export function planOf(
  user: LedgerUser,
  rows: readonly Transaction[],
  {
    named = false,
    excluded = false,
    takenLinks = [],
    ...settings
  }: { named?: boolean; excluded?: boolean; takenLinks?: string[] } & Partial<RuleSettings> = {},
): Plan {
  const circumstances: Circumstances = { named, excluded, takenLinks: new Set(takenLinks) }
  return planUser(user, rows, { ...SETTINGS, ...settings }, circumstances)
}

/** What expires of each closed grant, in dollars; empty for a user who is skipped. */
export function expiredDollars(plan: Plan): Record<string, number> {
  const closings = plan.change?.closings ?? []
  return Object.fromEntries(closings.map((row) => [row.grant.id, (0 - row.amountMicrodollars) / 1_000_000]))
}

/** The baselines that are written, in dollars. */
export function writtenBaselines(plan: Plan): Record<string, number> {
  const grants = plan.change?.grants ?? []
  return Object.fromEntries(
    grants.map(({ grant, expirationBaselineMicrodollars: baseline }) => [grant.id, baseline / 1_000_000]),
  )
}
