import type {
  ErrorLogLine,
  ReportedFailure,
  ReportCard,
  ReportInput,
  ReportUser,
  Share,
  UserLogLine,
} from './input.ts'
import { SKIPPED_OUTCOMES, type Warning } from '../../run/lines/glossary.ts'
import { shown } from './page/text.ts'
import { reportUser } from './user.ts'

/** How much of a large run a report keeps; the rest is in its logs. */
export const MOST_USERS = 5_000
const MOST_EXAMPLES = 20
const MOST_FAILURES = 200
const MOST_DOMAINS = 20

/** Upper ends of the classes of balances, in microdollars; the last class has none. */
const BALANCES: readonly (readonly [string, number])[] = [
  ['Below $0', -1],
  ['$0', 0],
  ['Up to $10', 10_000_000],
  ['$10 to $100', 100_000_000],
  ['$100 to $1,000', 1_000_000_000],
  ['Above $1,000', Number.POSITIVE_INFINITY],
]

/**
 * Reads a run's users log, and its errors log, once and keeps what a report shows, in memory that does not
 * grow with the run. `warnings` are those that the card may have, with their explanations.
 *
 * @throws what the iterables throw: a part that is missing or unreadable gives no report.
 */
export async function collectReport(
  card: ReportCard,
  lines: AsyncIterable<UserLogLine>,
  errors: AsyncIterable<ErrorLogLine> | Iterable<ErrorLogLine> = [],
  warnings: readonly Warning[] = [],
): Promise<ReportInput> {
  const users = largest(MOST_USERS)
  const corrected = largest(MOST_EXAMPLES)
  const skipped = new Map<string, Largest>()
  const byDomain = new Map<string, Share>()
  const byBalance = new Map<string, Share>(BALANCES.map(([label]) => [label, emptyShare(label)]))
  let usersLogged = 0
  for await (const line of lines) {
    const user = reportUser(line)
    usersLogged += 1
    users.add(user)
    if (user.correctedMicrodollars > 0) corrected.add(user)
    if (SKIPPED_OUTCOMES.has(user.outcome)) examplesOf(skipped, user.outcome).add(user)
    if (user.movedMicrodollars === 0) continue
    addTo(byDomain, domainOf(byDomain, line.email), user.movedMicrodollars)
    addTo(byBalance, balanceClass(balanceWithGrants(user)), user.movedMicrodollars)
  }
  return {
    card,
    warnings: explained(card.warnings, warnings),
    users: users.kept(),
    usersLogged,
    byDomain: [...byDomain.values()].toSorted((a, b) => b.movedMicrodollars - a.movedMicrodollars),
    byBalance: [...byBalance.values()].filter(({ users: count }) => count > 0),
    skipped: [...skipped].map(([outcome, examples]) => ({ outcome, users: examples.kept() })),
    corrected: corrected.kept(),
    failures: await failuresOf(errors),
  }
}

/** The warnings of the card; one that this version words differently stays without its explanation. */
function explained(texts: readonly string[], known: readonly Warning[]): Warning[] {
  return texts.map((text) => known.find((warning) => warning.text === text) ?? { text, explanation: null })
}

function examplesOf(skipped: Map<string, Largest>, outcome: string): Largest {
  const examples = skipped.get(outcome) ?? largest(MOST_EXAMPLES)
  skipped.set(outcome, examples)
  return examples
}

type Largest = { readonly add: (user: ReportUser) => void; readonly kept: () => ReportUser[] }

/** Keeps the `most` users with the largest amounts, the first read first among equals. */
function largest(most: number): Largest {
  let kept: ReportUser[] = []
  const trim = () => {
    kept = kept.toSorted(byAmount).slice(0, most)
  }
  return {
    add: (user) => {
      kept.push(user)
      if (kept.length >= most * 1.25) trim()
    },
    kept: () => {
      trim()
      return kept
    },
  }
}

/** What a run moved comes first, then what it left: corrections and grants at stake. */
function byAmount(a: ReportUser, b: ReportUser): number {
  return (
    b.movedMicrodollars - a.movedMicrodollars ||
    b.correctedMicrodollars + b.otherMicrodollars - a.correctedMicrodollars - a.otherMicrodollars ||
    b.targetedMicrodollars - a.targetedMicrodollars
  )
}

function emptyShare(label: string): Share {
  return { label, users: 0, movedMicrodollars: 0 }
}

function addTo(shares: Map<string, Share>, label: string, movedMicrodollars: number): void {
  const share = shares.get(label) ?? emptyShare(label)
  shares.set(label, {
    label,
    users: share.users + 1,
    movedMicrodollars: share.movedMicrodollars + movedMicrodollars,
  })
}

/**
 * There are as many domains as are configured; only a damaged log could have more, and it costs no
 * memory.
 */
function domainOf(known: ReadonlyMap<string, Share>, email: string | null): string {
  const domain = email === null ? 'unknown' : shown(email.slice(email.lastIndexOf('@') + 1).toLowerCase(), 80)
  return known.has(domain) || known.size < MOST_DOMAINS ? domain : 'other domains'
}

/** The balance while the user still had the credit: before an expiry, after a rollback. */
function balanceWithGrants(user: ReportUser): number | null {
  return user.outcome === 'rolled_back' ? user.finalMicrodollars : user.beforeMicrodollars
}

function balanceClass(balance: number | null): string {
  if (balance === null) return 'Unknown'
  return BALANCES.find(([, end]) => balance <= end)?.[0] ?? 'Unknown'
}

async function failuresOf(
  errors: AsyncIterable<ErrorLogLine> | Iterable<ErrorLogLine>,
): Promise<ReportedFailure[]> {
  const failures: ReportedFailure[] = []
  for await (const { user_id, stage, error, message } of errors) {
    if (failures.length === MOST_FAILURES) break
    failures.push({
      userId: user_id === null ? null : shown(user_id, 80),
      stage: shown(stage, 20),
      message: shown(`${error}: ${message}`, 300),
    })
  }
  return failures
}
