import type { Run } from '../../lambda/archive/documents.ts'
import type { RollbackRequest, RunRequest } from '../../lambda/event.ts'
import type { ExitCard } from '../../lambda/exit-card.ts'
import { databaseClock } from '../../lambda/ledger/clock.ts'
import { findTakenLinks } from '../../lambda/ledger/links.ts'
import { preflight } from '../../lambda/ledger/preflight.ts'
import { readPlanShown } from '../../lambda/run/bound.ts'
import { limitsPassed } from '../../lambda/run/brakes.ts'
import { cardOf } from '../../lambda/run/card.ts'
import { RunRefused } from '../../lambda/run/errors.ts'
import { executing } from '../../lambda/run/execute.ts'
import type { Known, Planning } from '../../lambda/run/one-attempt.ts'
import type { Candidate } from '../../lambda/run/attempt.ts'
import { type Matches, readMatches } from '../../lambda/run/page-lists.ts'
import { pageResult } from '../../lambda/run/page.ts'
import { approvedDryRun, listsOfDryRun } from '../../lambda/run/plan-lists.ts'
import { loggedChangesOf, rollingBack } from '../../lambda/run/rollback.ts'
import { listsOfMutations, rollbackTarget, silentReferences } from '../../lambda/run/rollback-lists.ts'
import { askedUsers, limitsOf } from '../../lambda/run/selection.ts'
import { cardAsItStands } from '../../lambda/run/status.ts'
import type { Tools } from '../../lambda/run/tools.ts'
import { addTotals, noTotals } from '../../lambda/run/totals.ts'

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

const USERS_AT_A_TIME = 500

/**
 * Counts what a writing request would do, with the rights, limits and plan checked as at its opening, and stores
 * nothing. `onUsers` is told how many users are counted.
 * @throws RunRefused, InvalidEvent, LedgerUnavailable, ArchiveUnavailable, ArchiveCorrupt
 */
export async function preview(
  request: RunRequest | RollbackRequest,
  tools: Tools,
  onUsers: (counted: number, all: number) => void,
): Promise<Figures> {
  const sql = tools.ledger.writer
  await preflight(sql, request.mode)
  const { run, lists, plan } = await prepared(request, tools)
  let totals = noTotals()
  for (const [place, list] of lists.entries()) {
    const planUsers = await planningOf(run, list, tools)
    const results = await resultsOf(planUsers, list.userIds, tools)
    totals = addTotals(totals, pageResult(run, list, results, tools.now()).totals)
    onUsers(Math.ceil(((place + 1) / lists.length) * run.matched.users), run.matched.users)
  }
  const counted = { totals, usersDone: run.matched.users, usersTotal: run.matched.users }
  const card = cardOf(run, counted, { status: 'complete', why: '' }, tools)
  return {
    mode: request.mode,
    domains: run.selection.domains,
    totals: card.totals,
    warnings: card.warnings,
    faceValueMicrodollars: request.kind === 'rollback' ? null : run.matched.faceValueMicrodollars,
    plan: plan && (await cardAsItStands(plan, tools)),
    planBy: plan && plan.asked.source,
  }
}

type Prepared = { readonly run: Run; readonly lists: Matches['lists']; readonly plan: Run | null }

async function prepared(request: RunRequest | RollbackRequest, tools: Tools): Promise<Prepared> {
  const { config } = tools
  const instant = await databaseClock(tools.ledger.writer)
  const shared = {
    runId: 'preview',
    mode: request.mode,
    instant,
    softwareVersion: '',
    asked: { payload: {}, requestId: '', source: '', reason: null, requestKey: null },
    settings: { ...config, limits: limitsOf(request, config), batchSize: USERS_AT_A_TIME, concurrency: 1 },
  }
  const settings = { ...shared.settings, correctionDescriptions: [...config.correctionDescriptions] }
  if (request.kind === 'rollback') {
    const target = await rollbackTarget(request.rollback, tools)
    const { lists, matched } = await listsOfMutations(target, USERS_AT_A_TIME, tools)
    const { correctionDescriptions } = target.settings
    const selection = { ...target.selection, plan: null, rollback: target.runId }
    const concerns = await silentReferences(tools, tools.ledger.writer)
    refuseConcerns(concerns)
    const run = { ...shared, settings: { ...settings, correctionDescriptions }, selection, matched, concerns }
    return { run, lists, plan: null }
  }
  const plan = request.plan === undefined ? null : await approvedDryRun(request.plan, instant, tools)
  const selection = plan
    ? { ...plan.selection, plan: plan.runId }
    : { ...askedUsers(request, config), plan: null, rollback: null }
  const { lists, matched } = plan
    ? await listsOfDryRun(plan, USERS_AT_A_TIME, tools)
    : await readMatches(selection, settings.correctionDescriptions, USERS_AT_A_TIME, tools.ledger.writer)
  const concerns = limitsPassed(matched, settings.limits)
  refuseConcerns(concerns)
  return { run: { ...shared, settings, selection, matched, concerns }, lists, plan }
}

function refuseConcerns(concerns: readonly string[]): void {
  if (concerns.length > 0)
    throw new RunRefused(`The run would be refused: ${concerns.join('; ')}. Nothing was written.`)
}

type PlanUsers = (
  userIds: readonly string[],
  known: Known,
) => Promise<ReadonlyMap<string, Planning<Candidate>>>

async function planningOf(run: Run, list: Matches['lists'][number], tools: Tools): Promise<PlanUsers> {
  const sql = tools.ledger.writer
  if (run.selection.rollback !== null) {
    const rollback = rollingBack(run, sql, await loggedChangesOf(run, list, tools))
    return async (userIds, known) => rollback.plan(userIds, known)
  }
  const { shown } = list
  const { plan: dryRun } = run.selection
  const planShown =
    shown && dryRun !== null ? await readPlanShown(tools.store, dryRun, shown.page, shown.epoch) : null
  const execute = executing(run, sql, planShown)
  return async (userIds, known) => execute.plan(userIds, known)
}

async function resultsOf(plan: PlanUsers, userIds: readonly string[], tools: Tools) {
  const name = { page: 0, epoch: 1, n: 1, leaseExpiresAt: '' }
  const planned = await plan(userIds, { name, takenLinks: new Set() })
  const closes = [...planned.values()].flatMap((planning) =>
    'candidate' in planning ? planning.candidate.closes : [],
  )
  const takenLinks = closes.length > 0 ? await findTakenLinks(tools.ledger.writer, closes) : new Set<string>()
  const final = takenLinks.size > 0 ? await plan(userIds, { name, takenLinks }) : planned
  return new Map([...final].map(([userId, planning]) => [userId, resultOf(planning)]))
}

function resultOf(planning: Planning<Candidate>) {
  return 'result' in planning ? planning.result : planning.candidate.result
}
