import { dollars, type NewSince } from '../../exit-card.ts'
import { add } from '../../rules/amounts.ts'
import type { ComparedLine, Pair } from './pairs.ts'

/**
 * What a dry run would do that an earlier one would not have done: users none of whose grants the earlier one would
 * close, grants that it would not close, and what expires of those. A grant that the earlier one only showed, of a
 * skipped user for instance, was not part of that plan.
 * @throws UnusableValue when the sum leaves the safe integers, and what reading the pairs throws
 */
export async function countNew(runId: string, pairs: AsyncIterable<Pair>): Promise<NewSince> {
  let users = 0
  let grants = 0
  let expiredMicrodollars = 0
  for await (const { first: earlier, second: now } of pairs) {
    const known = new Set(closedGrants(earlier).map(({ id }) => id))
    const closed = closedGrants(now)
    if (closed.length > 0 && known.size === 0) users += 1
    for (const grant of closed.filter(({ id }) => !known.has(id))) {
      grants += 1
      expiredMicrodollars = add(expiredMicrodollars, grant.expired_microdollars ?? 0)
    }
  }
  return { runId, users, grants, expiredMicrodollars, expired: dollars(expiredMicrodollars) }
}

/** The targeted grants that a run closes, or would close. */
function closedGrants(line: ComparedLine | null): ComparedLine['credits'] {
  return (line?.credits ?? []).filter(
    ({ targeted, expired_microdollars }) => targeted && expired_microdollars !== null,
  )
}
