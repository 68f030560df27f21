import type { KeyObject } from 'node:crypto'
import { readWriter } from '../../archive/control.ts'
import { modeOf, runFileKey } from '../../archive/keys.ts'
import { isWriting, listRunIds, readRun, type Run } from '../../archive/runs.ts'
import { stateOf } from '../../archive/state.ts'
import { RunRefused } from '../../errors.ts'
import { readIdentity } from '../../ledger/preflight/identity.ts'
import { withRetriedRead } from '../../ledger/connection/transaction.ts'
import { knownRun } from '../../run/known-run.ts'
import { refuseOtherLedger } from '../../run/ledger-identity.ts'
import type { Tools } from '../../run/tools.ts'
import { followChain } from './chain.ts'
import { type Difference, type Findings, noFindings, addDifference } from './differences.ts'
import { readClosedRun } from './documents.ts'
import { filesOfStore, type RunFiles } from './files.ts'
import { laterRuns } from './later-runs.ts'
import { compareLedger } from './ledger.ts'
import { type ComparedCounts, checkLogs } from './logs.ts'
import type { LedgerCheck } from './page.ts'
import { signatureCheck } from './signatures.ts'

export type VerifyAnswer = {
  readonly answer: 'verify'
  /** Null where no execute is closed yet: the schedule asks from the first week on. */
  readonly runId: string | null
  /** `incomplete`: the time of the invocation ended first; what was compared until then is below. */
  readonly result: 'verified' | 'differences' | 'incomplete' | 'nothing_to_verify'
  readonly checked: ComparedCounts & {
    /** How many runs the chain holds; 0 for a dry run, which is not in it. */
    readonly chain: number
    /** How many of them have a valid signature; null where there is no public key to check with. */
    readonly signed: number | null
  }
  readonly differenceCount: number
  /** The first 200. */
  readonly differences: readonly Difference[]
  /** Values that a later run of this job wrote: by run, how many. */
  readonly explained: readonly { readonly runId: string; readonly values: number }[]
  readonly next: { readonly text: string; readonly payload: Record<string, unknown> } | null
}

/** What is left of the invocation for the answer itself. */
const RESERVE_MS = 10_000

/**
 * Compares a closed run's logs with the rules, the manifest and the card, and the ledger with the logs;
 * follows the chain of runs, and checks its signatures. Reads only. One page is in memory at a time.
 * @throws RunRefused for a run that is unknown, open, or of another ledger; LedgerUnavailable,
 * ArchiveUnavailable, SigningFailed where KMS does not give its public key
 */
export async function verify(asked: string, tools: Tools): Promise<VerifyAnswer> {
  const runId = asked === 'latest' ? await latestClosedExecute(tools) : asked
  if (runId === null) return told(await nothingToVerify(tools), tools)
  const run = await knownRun(runId, tools)
  await refuseUnlessClosed(run, tools)
  const findings = noFindings()
  const files = filesOfStore(tools.store)
  const closed = await readClosedRun(files, runId, findings)
  const chain = isWriting(run.mode) ? await checkChain(runId, files, findings, tools) : NO_CHAIN
  if (!closed) return told(answerOf(runId, NOTHING_CHECKED, chain, findings, true), tools)

  const ledger = isWriting(run.mode) ? await ledgerOf(run, tools) : null
  const isTimeUp = (): boolean => tools.timeLeft() < RESERVE_MS
  const { checked, complete } = await checkLogs(files, closed, findings, ledger, isTimeUp)
  return told(answerOf(runId, checked, chain, findings, complete), tools)
}

/** The newest execute that has a manifest to compare with; null where there is none yet. */
async function latestClosedExecute({ store }: Tools): Promise<string | null> {
  const executes = (await listRunIds(store)).filter((id) => modeOf(id) === 'execute')
  for (const runId of executes.toReversed()) {
    const run = await readRun(store, runId)
    if (run && (await stateOf(store, run)).is === 'closed') return runId
  }
  return null
}

/** For the alarm on what a scheduled verification found. */
function told(answer: VerifyAnswer, { onVerified }: Tools): VerifyAnswer {
  onVerified(answer.differenceCount)
  return answer
}

const NOTHING_CHECKED: ComparedCounts = { parts: 0, users: 0, mutations: 0 }

const NOTHING_TO_VERIFY: VerifyAnswer = {
  answer: 'verify',
  runId: null,
  result: 'nothing_to_verify',
  checked: { ...NOTHING_CHECKED, chain: 0, signed: null },
  differenceCount: 0,
  differences: [],
  explained: [],
  next: { text: 'make a dry run', payload: {} },
}

async function nothingToVerify({ store }: Tools): Promise<VerifyAnswer> {
  const openId = (await readWriter(store))?.document.runId ?? null
  if (openId === null) return NOTHING_TO_VERIFY
  return { ...NOTHING_TO_VERIFY, next: { text: 'finish the open run', payload: { resume: openId } } }
}

type Chain = Pick<VerifyAnswer['checked'], 'chain' | 'signed'>
const NO_CHAIN: Chain = { chain: 0, signed: null }

async function refuseUnlessClosed(run: Run, { store }: Tools): Promise<void> {
  const state = await stateOf(store, run)
  if (state.is === 'closed') return
  const why =
    state.is === 'open'
      ? `is open: finish it with {"resume": "${run.runId}"}, or stop it with {"cancel": "${run.runId}"}, first`
      : 'was never opened or was abandoned, so it has no manifest to compare with'
  throw new RunRefused(`Run ${run.runId} ${why}. Nothing was compared.`)
}

/**
 * A replica has the identity of the ledger, and serves as well.
 * @throws RunRefused on another ledger, LedgerUnavailable
 */
async function ledgerOf(run: Run, tools: Tools): Promise<LedgerCheck> {
  const { reader } = tools.ledger
  refuseOtherLedger(run, await readIdentity(reader, tools), false, tools)
  const later = laterRuns(tools.store, run.runId)
  return {
    compare: async (users) => withRetriedRead(reader, async (tx) => compareLedger(tx, users), tools),
    explain: async (differences) => later.explain(differences),
  }
}

async function publicKeysOfKms({ signer }: Tools): Promise<readonly KeyObject[] | null> {
  return signer && [await signer.publicKey()]
}

async function checkChain(runId: string, files: RunFiles, findings: Findings, tools: Tools): Promise<Chain> {
  const publicKeys = tools.config.signingPublicKeys ?? (await publicKeysOfKms(tools))
  const signatures = publicKeys && signatureCheck(files, publicKeys)
  const { runs, whole } = await followChain(tools.store, files, signatures, findings)
  if (whole && !runs.includes(runId)) {
    addDifference(findings, {
      step: 'chain',
      userId: null,
      where: runFileKey(runId, 'manifest.json'),
      row: null,
      column: 'link',
      expected: 'in the chain of closed runs',
      found: null,
      explainedBy: null,
    })
  }
  return { chain: runs.length, signed: signatures?.valid() ?? null }
}

function answerOf(
  runId: string,
  checked: ComparedCounts,
  chain: Chain,
  { shown, unexplained, explained }: Findings,
  complete: boolean,
): VerifyAnswer {
  return {
    answer: 'verify',
    runId,
    result: unexplained > 0 ? 'differences' : complete ? 'verified' : 'incomplete',
    checked: { ...checked, ...chain },
    differenceCount: unexplained,
    differences: shown,
    explained: [...explained].map(([by, values]) => ({ runId: by, values })),
    next: complete ? null : { text: 'verify again, with more time', payload: { verify: runId } },
  }
}
