import type { KeyObject } from 'node:crypto'
import { parseArgs } from 'node:util'
import { runFileKey } from '../lambda/archive/keys.ts'
import { isWritingRun } from '../lambda/archive/runs.ts'
import { readLinked } from '../lambda/insight/verify/chain.ts'
import { type Findings, noFindings } from '../lambda/insight/verify/differences.ts'
import { readClosedRun, readManifestWithBytes } from '../lambda/insight/verify/documents.ts'
import type { RunFiles } from '../lambda/insight/verify/files.ts'
import { type ComparedCounts, checkLogs } from '../lambda/insight/verify/logs.ts'
import { signatureCheck } from '../lambda/insight/verify/signatures.ts'
import { type Answered, failed, printAnswered } from './answered.ts'
import { UsageError } from './cli/line/options.ts'
import { differenceText } from './difference-text.ts'
import { DIFFERENT } from './exit-status.ts'
import { filesOfFolder, rootOf, runsOfFolder } from './folder.ts'
import { publicKeysOfFile } from './public-key-file.ts'

/** What comparing one downloaded run came to. */
export type VerifiedRun = {
  readonly runId: string
  readonly checked: ComparedCounts
  readonly findings: Findings
  /** The run before it in the chain, where the folder does not have it. */
  readonly absentBefore: string | null
}

/** Which runs of a folder are compared (all), and with which public keys (signatures are not checked). */
type Asked = { readonly only?: string; readonly publicKeys?: readonly KeyObject[] }

/**
 * Compares downloaded runs with the rules of this checkout, and with their manifests, cards and signatures:
 * without database and without bucket. A run before another in the chain is compared with what that one's
 * manifest says of it.
 */
export async function verifyFolder(folder: string, { only, publicKeys }: Asked = {}): Promise<VerifiedRun[]> {
  const root = await rootOf(folder)
  const files = filesOfFolder(root)
  const all = await runsOfFolder(root)
  const signatures = publicKeys ? await checkSignatures(files, all, publicKeys) : new Map<string, Findings>()
  const verified: VerifiedRun[] = []
  for (const runId of all.filter((id) => only === undefined || id === only)) {
    const findings = signatures.get(runId) ?? noFindings()
    const closed = await readClosedRun(files, runId, findings)
    const { checked } = closed
      ? await checkLogs(files, closed, findings)
      : { checked: { parts: 0, users: 0, mutations: 0 } }
    const previous = closed?.manifest.previous ?? null
    const hasPrevious = previous !== null && all.includes(previous.runId)
    if (hasPrevious) await readLinked(files, previous, runFileKey(runId, 'manifest.json'), findings)
    verified.push({ runId, checked, findings, absentBefore: hasPrevious ? null : (previous?.runId ?? null) })
  }
  return verified
}

/** What is wrong with signatures, by run: the newest first, since its signature vouches for the others. */
async function checkSignatures(
  files: RunFiles,
  runIds: readonly string[],
  publicKeys: readonly KeyObject[],
): Promise<ReadonlyMap<string, Findings>> {
  const { check } = signatureCheck(files, publicKeys)
  const found = new Map<string, Findings>()
  for (const runId of runIds.toReversed()) {
    const findings = noFindings()
    const read = isWritingRun(runId) ? await readManifestWithBytes(files, runId, noFindings()) : null
    if (read) await check(read, findings)
    found.set(runId, findings)
  }
  return found
}

/** The result of one run for people. */
export function reportOf({ runId, checked, findings, absentBefore }: VerifiedRun): string[] {
  const { users, mutations, parts } = checked
  const what = `${users} users and ${mutations} mutations in ${parts} parts`
  const count = findings.unexplained
  const absent =
    absentBefore === null
      ? []
      : [`  The run before it, ${absentBefore}, is not in this folder: the chain ends here.`]
  if (count === 0) return [`${runId}: verified, ${what}`, ...absent]
  const more = count - findings.shown.length
  return [
    `${runId}: ${count} ${count === 1 ? 'difference' : 'differences'}, ${what}`,
    ...absent,
    ...findings.shown.map((one) => `  ${differenceText(one)}`),
    ...(more > 0 ? [`  and ${more} more`] : []),
  ]
}

const USAGE = `npm run verify -- <folder> [run id] [--public-key <file>]

<folder> holds logs/ and runs/ as the bucket has them. Every run in it is compared with the rules, its manifest and its
card, and with --public-key its signature is checked. Neither the ledger nor the bucket is read;
{"verify": "<run id>"} compares the ledger too.`

const OPTIONS = {
  allowPositionals: true,
  options: { 'public-key': { type: 'string' }, help: { type: 'boolean', short: 'h' } },
} as const

async function answer(args: readonly string[]): Promise<Answered> {
  const { values, positionals } = parseArgs({ args: [...args], ...OPTIONS })
  const [folder, only] = positionals
  const file = values['public-key']
  if (values.help) return { out: '', error: USAGE, exitCode: 0 }
  if (folder === undefined || folder === '') return failed(USAGE)
  const publicKeys = file === undefined ? null : await publicKeysOfFile(file)
  const verified = await verifyFolder(folder, {
    ...(only !== undefined && { only }),
    ...(publicKeys && { publicKeys }),
  })
  if (verified.length === 0)
    return failed(
      `${folder} has no ${only === undefined ? 'run' : `run ${only}`}. Nothing was compared.\n\n${USAGE}`,
    )
  const lines = verified.flatMap(reportOf)
  if (publicKeys === null) lines.push('Signatures were not checked: that takes --public-key <file>.')
  const isDifferent = verified.some(({ findings }) => findings.unexplained > 0)
  return { out: `${lines.join('\n')}\n`, error: '', exitCode: isDifferent ? DIFFERENT : 0 }
}

async function answerOrUsage(args: readonly string[]): Promise<Answered> {
  try {
    return await answer(args)
  } catch (error) {
    if (isUsage(error)) return failed(`${error.message}\n\n${USAGE}`)
    throw error
  }
}

/** An option that is unknown or lacks its value, or a file that holds no public key. */
function isUsage(error: unknown): error is Error {
  return error instanceof UsageError || (error instanceof TypeError && 'code' in error)
}

if (import.meta.main) printAnswered(await answerOrUsage(process.argv.slice(2)))
