import { MODES } from '../../../lambda/constants.ts'
import type { Payload } from '../../../lambda/event.ts'
import { type ExitCard, isFinal } from '../../../lambda/exit-card.ts'
import { openWritingRun, status } from '../../../lambda/insight/status.ts'
import { preflight } from '../../../lambda/ledger/preflight/preflight.ts'
import { readServer, type Server } from '../../../lambda/ledger/connection/server.ts'
import { preview } from '../../../lambda/run/lifecycle/opening/preview.ts'
import { heldBecause } from '../../../lambda/run/lifecycle/hold.ts'
import type { Tools } from '../../../lambda/run/tools.ts'

/** Where a writing command would write, and what. Nothing of it is stored. */
export type Figures = {
  readonly server: Server
  readonly bucket: string
  /** False for a run that has ended: nothing of it is written. */
  readonly rightsChecked: boolean
  readonly card: Pick<ExitCard, 'mode' | 'asked' | 'domains' | 'totals' | 'warnings'>
  /** Of the targeted grants; null for a rollback or a resume. */
  readonly faceValueMicrodollars: number | null
  /** The card of the plan's dry run: the totals above are counted within it. */
  readonly plan: ExitCard | null
  /** The run that is open, and that the command would continue. */
  readonly open: string | null
}

/**
 * The figures of a writing payload as they are now; of a resume, or of a run that is open, those so far. The
 * rights of its run are checked. Where writing is held, why.
 * @throws LedgerUnavailable, ArchiveUnavailable, RunRefused, and whatever else the count throws
 */
export async function figuresOf(
  payload: Payload,
  tools: Tools,
  onUsers: (counted: number, all: number) => void,
): Promise<Figures | { readonly held: string }> {
  const held = 'underHold' in payload && payload.underHold ? null : await heldBecause(tools)
  if (held !== null) return { held }
  const where = { server: await readServer(tools.ledger.writer, tools), bucket: tools.store.bucket }
  if (payload.kind !== 'run' && payload.kind !== 'rollback') {
    const card = await status('runId' in payload ? payload.runId : 'latest', tools)
    return { ...where, ...(await soFar(card, tools)), open: null }
  }
  const open = payload.restart === undefined ? await openWritingRun(tools) : null
  if (open) {
    const card = await status(open.runId, tools)
    // One that was closed a moment ago may not be free yet, and keeps nobody from opening another.
    if (!isFinal(card.status)) return { ...where, ...(await soFar(card, tools)), open: open.runId }
  }
  const { run, card } = await preview(payload, tools, onUsers)
  const plan = card.asked.plan === null ? null : await status(card.asked.plan, tools)
  const face = payload.kind === 'rollback' ? null : run.matched.faceValueMicrodollars
  return { ...where, rightsChecked: true, card, faceValueMicrodollars: face, plan, open: null }
}

async function soFar(
  card: ExitCard,
  tools: Tools,
): Promise<Pick<Figures, 'rightsChecked' | 'card' | 'faceValueMicrodollars' | 'plan'>> {
  const mode = MODES.find((one) => one === card.mode)
  const rightsChecked = mode !== undefined && !isFinal(card.status)
  if (rightsChecked) await preflight(tools.ledger.writer, mode, tools)
  return { rightsChecked, card, faceValueMicrodollars: null, plan: null }
}
