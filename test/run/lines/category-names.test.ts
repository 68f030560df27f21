import { expect, test } from 'vitest'
import { auditRun } from '../../support/audit-run.ts'
import { bucket, EVENT, invoke, team, useSixUsers } from '../../support/places/six-users.ts'

useSixUsers()

test.each([
  ['constructor', 'constructor'],
  ['toString', 'toString'],
  ['__proto__', '(__proto__)'],
])('a category may be called %s, and has its sums as %s', async (category, shown) => {
  await team.sql`UPDATE credit_transactions SET credit_category = ${category} WHERE kilo_user_id IN ('user-1', 'user-3')`
  const sums = (grants: number) => ({
    grants,
    expiredMicrodollars: grants * 10_000_000,
    faceValueMicrodollars: grants * 10_000_000,
  })
  for (const event of [{}, EVENT]) {
    const card = await invoke(event)
    expect(card).toMatchObject({ status: 'complete', totals: { expired: '$60.00' } })
    expect(card.byCategory).toMatchObject([
      { category: 'automatic-welcome-credits', ...sums(4) },
      { category: shown, ...sums(2) },
    ])
    const { users } = await auditRun(bucket, card.runId)
    expect(users[0]).toMatchObject({ credits: [{ credit_category: category }] })
  }
})
