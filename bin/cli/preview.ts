import type { RollbackRequest, RunRequest } from '../../lambda/event.ts'
import type { ExitCard } from '../../lambda/exit-card.ts'
import { readRun } from '../../lambda/archive/runs.ts'
import { currentCard } from '../../lambda/insight/status.ts'
import { preview as count } from '../../lambda/run/lifecycle/preview.ts'
import type { Tools } from '../../lambda/run/tools.ts'

/** What a writing command would do now. Nothing of it is stored. */
export type Figures = {
  readonly mode: string
  readonly domains: readonly string[]
  readonly totals: ExitCard['totals']
  readonly warnings: readonly string[]
  /** Of the targeted grants; null for a rollback. */
  readonly faceValueMicrodollars: number | null
  /** The card of the plan's dry run: the totals above are counted within it. */
  readonly plan: ExitCard | null
  /** Who or what made the plan. */
  readonly planBy: string | null
}

/** The figures of a writing request as they are now. @throws as count */
export async function preview(
  request: RunRequest | RollbackRequest,
  tools: Tools,
  onUsers: (counted: number, all: number) => void,
): Promise<Figures> {
  const { run, card } = await count(request, tools, onUsers)
  const plan = run.selection.plan === null ? null : await readRun(tools.store, run.selection.plan)
  return {
    mode: request.mode,
    domains: run.selection.domains,
    totals: card.totals,
    warnings: card.warnings,
    faceValueMicrodollars: request.kind === 'rollback' ? null : run.matched.faceValueMicrodollars,
    plan: plan && (await currentCard(plan, tools)),
    planBy: plan && plan.asked.by,
  }
}
