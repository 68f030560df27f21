import * as z from 'zod'
import { readJsonLines } from '../archive/logs.ts'
import { segmentKey } from '../archive/keys.ts'
import type { Store } from '../archive/store.ts'
import type { ChangePlan } from '../rules/types.ts'
import { exceeds, type ShownPlan } from '../rules/within-plan.ts'

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

/** Whether a fresh plan goes beyond what was shown. */
export function exceedsPlan(plan: ChangePlan, shown: Shown | undefined): boolean {
  return exceeds(plan, shown ? toShownPlan(shown) : null).length > 0
}

function toShownPlan(shown: Shown): ShownPlan {
  return {
    expiredMicrodollars: shown.expired_microdollars,
    duePaidMicrodollars: shown.due_paid_microdollars,
    correctionMicrodollars: shown.correction_microdollars,
    credits: shown.credits.map(({ id, targeted, expired_microdollars: expiredMicrodollars }) => ({
      id,
      targeted,
      expiredMicrodollars,
    })),
  }
}
