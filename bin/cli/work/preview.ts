import type { RollbackRequest, RunRequest } from '../../../lambda/event.ts'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { status } from '../../../lambda/insight/status.ts'
import { preview as count } from '../../../lambda/run/lifecycle/preview.ts'
import type { Tools } from '../../../lambda/run/tools.ts'

/** What a writing command would do now. Nothing of it is stored. */
export type Figures = {
  readonly card: Pick<ExitCard, 'mode' | 'asked' | 'domains' | 'totals' | 'warnings'>
  /** Of the targeted grants; null for a rollback or a resume. */
  readonly faceValueMicrodollars: number | null
  /** The card of the plan's dry run: the totals above are counted within it. */
  readonly plan: ExitCard | null
}

/** The figures of a writing request as they are now. @throws as count */
export async function preview(
  request: RunRequest | RollbackRequest,
  tools: Tools,
  onUsers: (counted: number, all: number) => void,
): Promise<Figures> {
  const { run, card } = await count(request, tools, onUsers)
  const plan = card.asked.plan === null ? null : await status(card.asked.plan, tools)
  const face = request.kind === 'rollback' ? null : run.matched.faceValueMicrodollars
  return { card, faceValueMicrodollars: face, plan }
}
