import { dollars, type NewSince } from '../../../exit-card.ts'
import { add } from '../../../rules/amounts.ts'
import { SKIPPED_OUTCOMES } from '../glossary.ts'
import type { ComparedLine, Pair } from '../pairs.ts'

/**
 * What a dry run would do that an earlier one would not have done: users none of whose grants the earlier one
 * would close, grants that it would not close, and what expires of those. A grant that the earlier one only
 * showed, of a skipped user for instance, was not part of that plan. Users who are skipped for a reason that
 * is new are counted by it.
 * @throws UnusableValue when the sum leaves the safe integers, and what reading the pairs throws
 */
export async function countNew(runId: string, pairs: AsyncIterable<Pair>): Promise<NewSince> {
  let users = 0
  let grants = 0
  let expiredMicrodollars = 0
  const skipped: NewSince['skipped'] = {}
  for await (const { first: earlier, second: now } of pairs) {
    const known = new Set(closedGrants(earlier).map(({ id }) => id))
    const closed = closedGrants(now)
    if (closed.length > 0 && known.size === 0) users += 1
    if (now && SKIPPED_OUTCOMES.has(now.outcome) && now.outcome !== earlier?.outcome)
      skipped[now.outcome] = (skipped[now.outcome] ?? 0) + 1
    for (const grant of closed.filter(({ id }) => !known.has(id))) {
      grants += 1
      expiredMicrodollars = add(expiredMicrodollars, grant.expired_microdollars ?? 0)
    }
  }
  return { runId, users, grants, expiredMicrodollars, expired: dollars(expiredMicrodollars), skipped }
}

/** The targeted grants that a run closes, or would close. */
function closedGrants(line: ComparedLine | null): ComparedLine['credits'] {
  return (line?.credits ?? []).filter(
    ({ targeted, expired_microdollars }) => targeted && expired_microdollars !== null,
  )
}
