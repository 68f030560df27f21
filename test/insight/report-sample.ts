import { dollars } from '../../lambda/exit-card.ts'
import type { GrantLogEntry, ReportCard, UserLogLine } from '../../lambda/insight/report/input.ts'

type CategoryTotal = ReportCard['byCategory'][number]

const CATEGORIES = [
  'kilo-pass-bonus',
  'welcome-credits',
  'referral-bonus',
  'team-topup',
  'hackathon-2026',
  'automatic-welcome-credits',
]
const DESCRIPTIONS = [
  'Kilo Pass bonus credits for March 2026',
  'Welcome to Kilo Code',
  'Referral: a colleague signed up',
  'Monthly allowance of the engineering team',
  'Hackathon credits, Amsterdam',
  'Free credits for new accounts',
]

const CONSOLE =
  'https://us-east-1.console.aws.amazon.com/s3/buckets/team-credit-expiry?region=us-east-1&prefix='

export const RUN_ID = '2026-11-22T06-12-30-123Z-execute-k3j9'

/**
 * Lines of a users log, the same for the same count: all outcomes, amounts with and without fractions of
 * a cent.
 */
export function sampleLines(count: number, grantsEach = 6): UserLogLine[] {
  return Array.from({ length: count }, (_, index) => sampleLine(index, grantsEach))
}

function sampleLine(index: number, grantsEach: number): UserLogLine {
  const outcome = outcomeOf(index)
  const domain = index % 4 === 0 ? 'kilocode.ai' : 'kilo.ai'
  const email = `${given(index)}.${family(index)}${index > 400 ? index : ''}@${domain}`
  const has = outcome !== 'no_targeted_grant' && outcome !== 'gone'
  const closes = outcome === 'expired' || outcome === 'nothing_to_expire'
  const credits = has
    ? Array.from({ length: 1 + ((index * 7) % (2 * grantsEach - 1)) }, (_, n) =>
        grantOf(index, n, outcome, closes),
      )
    : []
  const expired = sum(credits.map((credit) => credit.expired_microdollars ?? 0))
  const correction = outcome === 'expired' && index % 61 === 0 ? 420_000 + index : 0
  const rest = correction === 0 && index % 5 === 0 ? 12_000_000 : 0
  const before = outcome === 'gone' ? null : expired - correction + rest
  return {
    user_id: index % 3 === 0 ? `oauth/google:1182${String(index * 7_919).padStart(16, '0')}` : uuid(index),
    email: outcome === 'gone' ? null : email,
    outcome,
    balance_before_microdollars: before,
    grants_targeted: credits.length,
    expired_microdollars: expired,
    due_paid_microdollars: outcome === 'expired' && index % 97 === 0 ? 2_500_000 : 0,
    correction_microdollars: correction,
    final_balance_microdollars: before === null ? null : before - expired + correction,
    next_credit_expiration_at: index % 11 === 0 ? '2027-01-31T00:00:00.000000Z' : null,
    flags: outcome === 'expired' && index % 29 === 0 ? ['auto_top_up_risk'] : [],
    flag_details: [],
    credits,
    ...(outcome === 'needs_review' && { review: [reviewedRow(index)] }),
  }
}

function outcomeOf(index: number): string {
  if (index === 17 || index === 44) return 'needs_review'
  if (index === 29) return 'too_recent'
  if (index === 58) return 'failed'
  if (index === 111) return 'gone'
  if (index % 7 === 3) return 'no_targeted_grant'
  return index % 13 === 5 ? 'nothing_to_expire' : 'expired'
}

function grantOf(user: number, n: number, outcome: string, closes: boolean): GrantLogEntry {
  const kind = (user * 3 + n * 5) % CATEGORIES.length
  const amount = [5, 10, 20, 25, 50, 2.5][kind] ?? 5
  const amountMicrodollars = amount * 1_000_000
  const spent = (user + n) % 3 === 0 ? (user * 104_729 + n * 7_919) % amountMicrodollars : 0
  const expired = outcome === 'nothing_to_expire' ? 0 : amountMicrodollars - spent
  return {
    id: uuid(user * 1_000 + n),
    credit_category: CATEGORIES[kind] ?? null,
    description: DESCRIPTIONS[kind] ?? null,
    created_at: `2026-${twoDigits(1 + ((user + n) % 10))}-${twoDigits(1 + ((user * n) % 28))}T09:00:00.000000Z`,
    is_free: true,
    targeted: true,
    amount_microdollars: amountMicrodollars,
    expired_microdollars: closes ? expired : null,
  }
}

function twoDigits(number: number): string {
  return String(number).padStart(2, '0')
}

function reviewedRow(index: number): object {
  return {
    id: uuid(index * 31),
    credit_category: 'manual_decrement',
    amount_microdollars: -5_000_000,
    created_at: '2026-10-02T11:20:00.000000Z',
  }
}

/** The card that fits the lines. */
export function sampleCard(lines: readonly UserLogLine[], changes: Partial<ReportCard> = {}): ReportCard {
  const outcomes: Record<string, number> = {}
  for (const { outcome } of lines) outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
  const count = (...names: string[]) => sum(names.map((name) => outcomes[name] ?? 0))
  const corrected = lines.filter((line) => line.correction_microdollars !== 0)
  return {
    runId: RUN_ID,
    mode: 'execute',
    instant: '2026-11-22T06:12:30.123Z',
    status: count('failed') > 0 ? 'complete_with_errors' : 'complete',
    why: count('failed') > 0 ? 'every page is done; 1 user failed' : 'every page is done',
    asked: {
      by: 'Maria Lindqvist',
      via: 'the workflow execution 4c1f-quarterly-clean-up',
      reason: 'quarterly clean-up of team credits',
      plan: '2026-11-21T16-40-02-001Z-dry-run-p7qa',
      payload: { execute: true, plan: '2026-11-21T16-40-02-001Z-dry-run-p7qa' },
    },
    domains: ['kilocode.ai', 'kilo.ai'],
    softwareVersion: '1.2.3',
    totals: {
      usersMatched: lines.length,
      usersWithoutGrants: count('no_targeted_grant'),
      usersProcessed: count('expired', 'nothing_to_expire', 'rolled_back'),
      usersSkipped: count('needs_review', 'too_recent', 'gone', 'excluded', 'exceeds_plan', 'changed_since'),
      usersFailed: count('failed'),
      usersNotReached: count('not_reached'),
      grantsTargeted: sum(lines.map((line) => line.grants_targeted)),
      matchedFaceValueMicrodollars: faceValueOf(lines),
      matchedFaceValue: dollars(faceValueOf(lines)),
      expiredMicrodollars: sum(lines.map((line) => line.expired_microdollars)),
      expired: dollars(sum(lines.map((line) => line.expired_microdollars))),
      duePaidMicrodollars: sum(lines.map((line) => line.due_paid_microdollars)),
      duePaid: dollars(sum(lines.map((line) => line.due_paid_microdollars))),
      usersCorrected: corrected.length,
      correctedMicrodollars: sum(corrected.map((line) => line.correction_microdollars)),
      corrected: dollars(sum(corrected.map((line) => line.correction_microdollars))),
      outcomes,
      flags: {},
    },
    byCategory: categoriesOf(lines),
    warnings: [
      '3 users may be charged by auto top-up: balance under $5.00 after this run',
      '$7.50 of paid credit of 3 users was due and expires in the same pass',
    ],
    logs: {
      users: `s3://team-credit-expiry/logs/users/${RUN_ID}/`,
      mutations: `s3://team-credit-expiry/logs/mutations/${RUN_ID}/`,
      errors: `s3://team-credit-expiry/logs/errors/${RUN_ID}/`,
      run: `s3://team-credit-expiry/runs/${RUN_ID}/`,
      report: `s3://team-credit-expiry/runs/${RUN_ID}/report.html`,
      console: {
        users: `${CONSOLE}logs/users/${RUN_ID}/`,
        mutations: `${CONSOLE}logs/mutations/${RUN_ID}/`,
        errors: `${CONSOLE}logs/errors/${RUN_ID}/`,
        run: `${CONSOLE}runs/${RUN_ID}/`,
      },
    },
    next: { text: 'preview the rollback of this run', payload: { rollback: RUN_ID } },
    rolledBackBy: [],
    usersRolledBack: 0,
    rollsBack: null,
    sincePrevious: null,
    sinceExecuted: null,
    ...changes,
  }
}

function faceValueOf(lines: readonly UserLogLine[]): number {
  return sum(categoriesOf(lines).map(({ faceValueMicrodollars }) => faceValueMicrodollars))
}

function categoriesOf(lines: readonly UserLogLine[]): CategoryTotal[] {
  const totals = new Map<
    string,
    Pick<CategoryTotal, 'grants' | 'expiredMicrodollars' | 'faceValueMicrodollars'>
  >()
  for (const { credit_category, amount_microdollars, expired_microdollars } of lines.flatMap(
    ({ credits }) => credits,
  )) {
    const category = credit_category ?? '(no category)'
    const total = totals.get(category)
    totals.set(category, {
      grants: (total?.grants ?? 0) + 1,
      expiredMicrodollars: (total?.expiredMicrodollars ?? 0) + (expired_microdollars ?? 0),
      faceValueMicrodollars: (total?.faceValueMicrodollars ?? 0) + amount_microdollars,
    })
  }
  return [...totals].map(([category, total]) => ({
    category,
    ...total,
    expired: dollars(total.expiredMicrodollars),
    faceValue: dollars(total.faceValueMicrodollars),
  }))
}

export async function* read<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items
}

function sum(amounts: readonly number[]): number {
  return amounts.reduce((total, amount) => total + amount, 0)
}

/** Spread over all digits, as random ids are, so that sizes of files mean something. */
function uuid(seed: number): string {
  const hex = (n: number) => (Math.imul(seed + n * 977, 2_654_435_761) >>> 0).toString(16).padStart(8, '0')
  const last = hex(5) + hex(6).slice(4)
  return `${hex(1)}-${hex(2).slice(4)}-4${hex(3).slice(5)}-a${hex(4).slice(5)}-${last}`
}

const GIVEN = [
  'ada',
  'bram',
  'chiara',
  'dmitri',
  'elif',
  'femi',
  'grace',
  'hiro',
  'ines',
  'jonas',
  'katya',
  'liam',
]
const FAMILY = [
  'okafor',
  'jansen',
  'moretti',
  'haas',
  'novak',
  'silva',
  'tanaka',
  'weber',
  'dupont',
  'rossi',
  'olsen',
]

const given = (index: number) => GIVEN[index % GIVEN.length] ?? ''
const family = (index: number) => FAMILY[(index * 5) % FAMILY.length] ?? ''
