import { randomUUID } from 'node:crypto'
import type { Sql } from '../../lambda/ledger/connection/connect.ts'
import { compareWritten } from '../../lambda/ledger/compare.ts'
import { lockUsers } from '../../lambda/ledger/rows.ts'
import { type PlannedUser, writeExpirations, writtenBy } from '../../lambda/ledger/write.ts'
import { type Reading, readUsers } from '../../lambda/ledger/read.ts'
import { readTransaction, writeTransaction } from '../../lambda/ledger/connection/transaction.ts'
import { planUser } from '../../lambda/rules/plan.ts'
import { DEFAULT_REVIEW_CATEGORIES } from '../../lambda/rules/review.ts'
import { instantToLedgerTime } from '../../lambda/rules/times.ts'
import type { Plan } from '../../lambda/rules/types.ts'

/** The correction description that the configuration lists by default. */
export const LISTED_CORRECTION = 'Correction to $0 after expiring internal free credits'

/** Reads users through the job's own reader, in a transaction of its own. */
export async function readNow(sql: Sql, userIds: readonly string[]): Promise<Map<string, Reading>> {
  return readTransaction(sql, async (tx) => readUsers(tx, userIds))
}

/**
 * Writes planned users in one transaction as the job does (lock, write, compare); returns those whose guard
 * held.
 */
export async function applyPlans(
  sql: Sql,
  planned: readonly PlannedUser[],
  leaseExpiresAt: string,
): Promise<ReadonlySet<string>> {
  return writeTransaction(sql, async (tx) => {
    const locked = await lockUsers(
      tx,
      planned.map(({ plan }) => plan.user.id),
      'skip',
    )
    const held = await writeExpirations(
      tx,
      planned.filter(({ plan }) => locked.has(plan.user.id)),
    )
    const written = planned.filter(({ plan }) => held.has(plan.user.id))
    await compareWritten(tx, written.map(writtenBy), leaseExpiresAt)
    return held
  })
}

/** Reads users through the job's own reader and plans each; throws where one cannot be planned. */
export async function readAndPlan(
  sql: Sql,
  userIds: readonly string[],
  instant: string,
): Promise<Map<string, Plan>> {
  const readings = await readNow(sql, userIds)
  const settings = {
    instant: instantToLedgerTime(instant),
    minGrantAgeSeconds: 60,
    correctionDescriptions: [LISTED_CORRECTION],
    reviewCategories: DEFAULT_REVIEW_CATEGORIES,
    categories: null,
    excludedCategories: [],
  }
  return new Map(
    [...readings].map(([id, reading]) => {
      if ('unusable' in reading) throw reading.unusable
      return [
        id,
        planUser(reading.user, reading.rows, settings, {
          named: false,
          excluded: false,
          takenLinks: new Set(),
        }),
      ]
    }),
  )
}

/** Those plans that write something, each with new ids for the rows to insert. */
export function withIds(plans: Iterable<Plan>): PlannedUser[] {
  return [...plans].flatMap((plan): PlannedUser[] =>
    plan.change === null
      ? []
      : [
          {
            plan,
            closingIds: plan.change.closings.map(() => randomUUID()),
            correctionId: plan.change.correction && randomUUID(),
          },
        ],
  )
}

/** A time at which every lease of a test still holds. */
export const NEXT_YEAR = new Date(Date.now() + 365 * 86_400_000).toISOString()
