import * as z from 'zod'
import { readJsonLines } from '../archive/logs.ts'
import { segmentKey } from '../archive/keys.ts'
import type { Store } from '../archive/store.ts'
import type { ChangePlan } from '../rules/types.ts'

const shownSchema = z.object({
  user_id: z.string(),
  expired_microdollars: z.int(),
  due_paid_microdollars: z.int(),
  correction_microdollars: z.int(),
  credits: z.array(
    z.object({ id: z.string(), targeted: z.boolean(), expired_microdollars: z.int().nullable() }),
  ),
})
type Shown = z.infer<typeof shownSchema>

/** What an approved dry run showed, by user. */
export type PlanShown = ReadonlyMap<string, Shown>

/** Reads what a dry run showed of the users of one of its pages. @throws ArchiveCorrupt, ArchiveUnavailable */
export async function readPlanShown(
  store: Store,
  dryRunId: string,
  page: number,
  epoch: number,
): Promise<PlanShown> {
  const shown = new Map<string, Shown>()
  for await (const line of readJsonLines(store, segmentKey(dryRunId, page, epoch, 'users'), shownSchema))
    shown.set(line.user_id, line)
  return shown
}

/**
 * Whether a fresh plan goes beyond what was shown: a targeted grant or a closing row that was not there, or more to
 * expire (free and due paid compared apart) or to correct. Less, since credit was spent meanwhile, is fine.
 */
export function exceedsPlan(plan: ChangePlan, shown: Shown | undefined): boolean {
  // A credit without an amount stood in the plan of a user who was left alone: no closing row was shown.
  const closed = new Map(
    (shown?.credits ?? [])
      .filter((credit) => credit.expired_microdollars !== null)
      .map((credit) => [credit.id, credit.targeted]),
  )
  const unseen = plan.credits.some(({ id, targeted }) => closed.get(id) !== targeted)
  return (
    shown === undefined ||
    unseen ||
    plan.expiredMicrodollars > shown.expired_microdollars ||
    plan.duePaidMicrodollars > shown.due_paid_microdollars ||
    (plan.change.correction?.amountMicrodollars ?? 0) > shown.correction_microdollars
  )
}
