import type {
  Circumstances,
  FlagDetail,
  LedgerTime,
  LedgerUser,
  RuleSettings,
  Transaction,
} from '../../lambda/rules/types.ts'

/** What the specification says about one user: amounts are BigInt, lists are in order of the grants' ids. */
export type Expected = {
  outcome: string
  flags: FlagDetail[]
  review: { id: string; why: string }[]
  excluded: { id: string; why: string }[]
  targeted: string[]
  expired: bigint
  duePaid: bigint
  closings: {
    id: string
    amount: bigint
    description: string
    createdAt: LedgerTime
    originalBaseline: bigint
  }[]
  written: { id: string; targeted: boolean; date: LedgerTime | null; baseline: bigint }[]
  correction: bigint
  acquired: bigint
  nextExpiration: LedgerTime | null
}

type Member = {
  row: Transaction
  targeted: boolean
  date: LedgerTime
  baseline: bigint
  expired: bigint | null
}

const CLOSING = ['credits_expired', 'orb_credit_expired', 'orb_credit_voided']
const OWN_CORRECTION = 'Balance restored to zero after expiring internal free credits'
const FOR_EVER = 10n ** 30n

const lesser = (a: bigint, b: bigint): bigint => (a < b ? a : b)
const greater = (a: bigint, b: bigint): bigint => (a > b ? a : b)
const sum = (amounts: bigint[]): bigint => amounts.reduce((all, amount) => all + amount, 0n)
const byId = <Row extends { id: string }>(rows: Row[]): Row[] =>
  rows.toSorted((a, b) => (a.id < b.id ? -1 : 1))

const isClosing = (row: Transaction): boolean =>
  row.creditCategory !== null && CLOSING.includes(row.creditCategory)
const original = (row: Transaction): bigint => BigInt(row.originalBaselineMicrodollars ?? 0)
const stored = (row: Transaction): bigint => BigInt(row.expirationBaselineMicrodollars ?? 0)

/** The pattern that a category fits: exact, or `*` for any end. */
function wildcard(pattern: string): RegExp {
  return new RegExp(`^${pattern.replace(/[^\w*-]/g, '\\$&').replace('*', '.*')}$`, 's')
}

/** Microseconds since 1970, of times since 1970. */
function micros(time: LedgerTime): bigint {
  if (time === 'infinity') return FOR_EVER
  if (time === '-infinity') return -FOR_EVER
  return BigInt(Date.parse(`${time.slice(0, 23)}Z`)) * 1000n + BigInt(time.slice(23, 26))
}
const millis = (time: LedgerTime): bigint => micros(time) / 1000n

/** Whether `a` comes before `b`, by the first of these that differ. */
function before(a: (bigint | string)[], b: (bigint | string)[]): number {
  for (const [index, value] of a.entries()) {
    const other = b[index] ?? value
    if (value !== other) return value < other ? -1 : 1
  }
  return 0
}

/**
 * The rules, once more: written from the words of 1-ledger-rules alone, by the shortest way and not the
 * fastest, in exact arithmetic. It shares no code with lambda/rules, so that a slip there is not one here.
 */
export function oracle(
  user: LedgerUser,
  rows: readonly Transaction[],
  settings: RuleSettings,
  circumstances: Circumstances,
): Expected {
  const { instant } = settings
  const used = BigInt(user.usedMicrodollars)
  const closingOf = (grant: Transaction): Transaction | undefined =>
    rows.find((row) => isClosing(row) && row.originalTransactionId === grant.id)
  const isLinkTaken = (grant: Transaction): boolean =>
    circumstances.takenLinks.has(grant.id) ||
    rows.some((row) => !isClosing(row) && row.originalTransactionId === grant.id)
  const isCorrection = (row: Transaction): boolean =>
    row.creditCategory === 'accounting_adjustment' &&
    [OWN_CORRECTION, ...settings.correctionDescriptions].some((text) => text === row.description)

  const fits = (row: Transaction, patterns: readonly string[]): boolean =>
    row.creditCategory !== null &&
    patterns.some((pattern) => wildcard(pattern).test(row.creditCategory ?? ''))

  const personal = rows.filter((row) => row.organizationId === null)
  const positive = personal.filter((row) => row.amountMicrodollars > 0)
  const open = positive.filter((row) => !closingOf(row))
  const takenOut = (row: Transaction): string | null => {
    if (circumstances.excluded) return 'user_excluded'
    if (fits(row, settings.excludedCategories)) return 'category_excluded'
    return settings.categories && !fits(row, settings.categories) ? 'category_not_selected' : null
  }
  const expirable = open.filter((row) => row.isFree && !isClosing(row) && !isCorrection(row))
  const excluded = expirable.filter((row) => !isLinkTaken(row) && takenOut(row) !== null)
  const targeted = expirable.filter((row) => !isLinkTaken(row) && takenOut(row) === null)
  const linkTaken = open.filter(
    (row) =>
      isLinkTaken(row) && (row.expiryDate !== null || (expirable.includes(row) && takenOut(row) === null)),
  )
  const negativeDated = personal.filter(
    (row) => row.amountMicrodollars <= 0 && row.expiryDate !== null && !closingOf(row),
  )

  const flags: FlagDetail[] = [
    ...linkTaken.map((row): FlagDetail => {
      const link = rows.find((other) => !isClosing(other) && other.originalTransactionId === row.id)
      return { flag: 'link_taken', grantId: row.id, linkId: link?.id ?? null }
    }),
    ...negativeDated.map(({ id, amountMicrodollars, expiryDate }): FlagDetail => {
      return { flag: 'negative_dated', id, amountMicrodollars, expiryDate: expiryDate ?? '' }
    }),
  ]
  const nothing: Expected = {
    outcome: 'no_targeted_grant',
    flags,
    review: [],
    excluded: byId(excluded.map((row) => ({ id: row.id, why: takenOut(row) ?? '' }))),
    targeted: targeted.map((row) => row.id).toSorted(),
    expired: 0n,
    duePaid: 0n,
    closings: [],
    written: [],
    correction: 0n,
    acquired: BigInt(user.acquiredMicrodollars),
    nextExpiration: user.nextCreditExpirationAt,
  }
  if (circumstances.excluded) return { ...nothing, outcome: 'excluded', flags: [] }
  if (targeted.length === 0) return excluded.length > 0 ? { ...nothing, outcome: 'excluded' } : nothing

  const since = targeted.map((row) => micros(row.createdAt)).reduce(lesser)
  const unlinked = personal.filter((row) => row.originalTransactionId === null && row.amountMicrodollars <= 0)
  const deductions = unlinked.filter(
    (row) =>
      row.amountMicrodollars < 0 &&
      !closingOf(row) &&
      !fits(row, settings.reviewCategories) &&
      micros(row.createdAt) >= since,
  )
  if (deductions.length > 0) {
    const amountMicrodollars = Number(sum(deductions.map((row) => BigInt(row.amountMicrodollars))))
    flags.push({ flag: 'unlinked_deduction', rows: deductions.length, amountMicrodollars })
  }
  const youngest = micros(instant) - BigInt(settings.minGrantAgeSeconds) * 1_000_000n
  if (personal.some((row) => micros(row.createdAt) > youngest)) return { ...nothing, outcome: 'too_recent' }
  const isOrb = (row: Transaction): boolean => (row.creditCategory ?? '').startsWith('orb_credit_')
  const takenBack = unlinked.filter(
    (row) => fits(row, settings.reviewCategories) && (isOrb(row) || micros(row.createdAt) >= since),
  )
  const damaged = rows.filter(
    (row) =>
      isClosing(row) &&
      row.amountMicrodollars > 0 &&
      positive.some((grant) => grant.id === row.originalTransactionId && !isClosing(grant)),
  )
  const review = byId([
    ...takenBack.map(({ id }) => ({ id, why: 'reversal_without_link' })),
    ...damaged.map(({ id }) => ({ id, why: 'positive_closing_row' })),
  ])
  if (review.length > 0 && !circumstances.named) return { ...nothing, outcome: 'needs_review', review }

  // 2. Baseline
  const windows = positive
    .flatMap((row) => {
      const closing = closingOf(row)
      if (!closing || row.expiryDate === null) return []
      const start = row.expirationBaselineMicrodollars === null ? original(row) : stored(row)
      const claimed = greater(0n, BigInt(row.amountMicrodollars) + BigInt(closing.amountMicrodollars))
      return [{ start, claimed, order: [millis(row.expiryDate), start, micros(row.createdAt), row.id] }]
    })
    .toSorted((a, b) => before(a.order, b.order))
  const upToDate = (row: Transaction): bigint => {
    if (row.expirationBaselineMicrodollars !== null) return stored(row)
    return windows.reduce((baseline, window) => {
      const overlap = lesser(window.claimed, window.start + window.claimed - baseline)
      return overlap > 0n ? baseline + overlap : baseline
    }, original(row))
  }

  // 1. Date, and 3. Expire
  const set: Member[] = open
    .filter((row) => !isLinkTaken(row) && (targeted.includes(row) || row.expiryDate !== null))
    .map((row) =>
      targeted.includes(row)
        ? { row, targeted: true, date: instant, baseline: upToDate(row), expired: null }
        : { row, targeted: false, date: row.expiryDate ?? '', baseline: stored(row), expired: null },
    )
    .toSorted((a, b) =>
      before(
        [millis(a.date), micros(a.row.createdAt), a.row.id],
        [millis(b.date), micros(b.row.createdAt), b.row.id],
      ),
    )
  for (const [index, member] of set.entries()) {
    if (millis(member.date) > millis(instant)) continue
    const amount = BigInt(member.row.amountMicrodollars)
    const claimed = greater(0n, lesser(member.baseline + amount, used) - member.baseline)
    member.expired = amount - claimed
    for (const later of set.slice(index + 1)) {
      later.baseline += greater(0n, lesser(claimed, member.baseline + claimed - later.baseline))
    }
  }

  // 4. Rows, 5. User, 6. Correction
  const due = set.flatMap((member) =>
    member.expired === null ? [] : [{ ...member, expired: member.expired }],
  )
  const expired = sum(due.filter((member) => member.targeted).map((member) => member.expired))
  const duePaid = sum(due.filter((member) => !member.targeted).map((member) => member.expired))
  const afterExpiry = BigInt(user.acquiredMicrodollars) - expired - duePaid
  const correction = greater(0n, used - afterExpiry)
  const stillOpen = [
    ...set.filter((member) => member.expired === null).map((member) => member.date),
    ...[...linkTaken, ...negativeDated].flatMap((row) => row.expiryDate ?? []),
  ]
  const final = afterExpiry + correction - used
  if (user.autoTopUpEnabled && final < 5_000_000n)
    flags.push({ flag: 'auto_top_up_risk', finalBalanceMicrodollars: Number(final) })
  const paid = sum(due.filter(({ row }) => !row.isFree).map((member) => member.expired))
  if (paid > 0n) flags.push({ flag: 'due_paid_credit', amountMicrodollars: Number(paid) })
  const balanceMicrodollars = user.acquiredMicrodollars - user.usedMicrodollars
  if (balanceMicrodollars < 0) flags.push({ flag: 'overdrawn_before', balanceMicrodollars })
  return {
    ...nothing,
    outcome: expired > 0n ? 'expired' : 'nothing_to_expire',
    expired,
    duePaid,
    closings: byId(
      due.map(({ row, date, expired: amount }) => {
        const description = `Expired: ${row.description ?? ''}`
        return { id: row.id, amount: -amount, description, createdAt: date, originalBaseline: used }
      }),
    ),
    written: byId(
      set
        .filter((member) => member.targeted || member.baseline !== stored(member.row))
        .map((member) => ({
          id: member.row.id,
          targeted: member.targeted,
          date: member.date,
          baseline: member.baseline,
        })),
    ),
    correction,
    acquired: afterExpiry + correction,
    nextExpiration: stillOpen.toSorted((a, b) => before([micros(a)], [micros(b)]))[0] ?? null,
  }
}
