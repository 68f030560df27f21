import { runFileKey } from '../lambda/archive/keys.ts'
import { readLinked } from '../lambda/insight/verify/chain.ts'
import { type Difference, type Findings, noFindings } from '../lambda/insight/verify/differences.ts'
import { type Checked, checkLogs, readClosedRun } from '../lambda/insight/verify/logs.ts'
import { filesOfFolder, rootOf, runsOfFolder } from './folder.ts'

/** What comparing one downloaded run came to. */
export type VerifiedRun = {
  readonly runId: string
  readonly checked: Checked
  readonly findings: Findings
}

/**
 * Compares downloaded runs with the rules of this checkout, and with their manifests and cards: without
 * database and without bucket. A run before another in the chain is compared with what that one's manifest
 * says of it.
 */
export async function verifyFolder(folder: string, only: string | null = null): Promise<VerifiedRun[]> {
  const root = await rootOf(folder)
  const files = filesOfFolder(root)
  const all = await runsOfFolder(root)
  const verified: VerifiedRun[] = []
  for (const runId of all.filter((id) => only === null || id === only)) {
    const findings = noFindings()
    const closed = await readClosedRun(files, runId, findings)
    const { checked } = closed
      ? await checkLogs(files, closed, findings, async () => {})
      : { checked: { parts: 0, users: 0, mutations: 0 } }
    const previous = closed?.manifest.previous ?? null
    if (previous && all.includes(previous.runId))
      await readLinked(files, previous, runFileKey(runId, 'manifest.json'), findings)
    verified.push({ runId, checked, findings })
  }
  return verified
}

function sentenceOf({ userId, where, row, column, expected, found }: Difference): string {
  const subject = [userId === null ? '' : `user ${userId}`, where, row === userId ? '' : (row ?? ''), column]
  return `  ${subject.filter((text) => text !== '').join(', ')}: expected ${expected}, found ${found}`
}

/** The result of one run for people. */
export function reportOf({ runId, checked, findings }: VerifiedRun): string[] {
  const { users, mutations, parts } = checked
  const what = `${users} users and ${mutations} mutations in ${parts} parts`
  if (findings.unexplained === 0) return [`${runId}: verified, ${what}`]
  const more = findings.unexplained - findings.shown.length
  return [
    `${runId}: ${findings.unexplained} differences, ${what}`,
    ...findings.shown.map(sentenceOf),
    ...(more > 0 ? [`  and ${more} more`] : []),
  ]
}

const USAGE = `npm run verify -- <folder> [run id]

<folder> holds logs/ and runs/ as the bucket has them. Every run in it is compared with the rules, its manifest and its
card. Neither the ledger nor the bucket is read; {"verify": "<run id>"} compares the ledger too.`

async function main([folder, runId]: readonly (string | undefined)[]): Promise<number> {
  if (folder === undefined) {
    console.error(USAGE)
    return 1
  }
  const verified = await verifyFolder(folder, runId ?? null)
  if (verified.length === 0) {
    console.error(
      `${folder} has no ${runId === undefined ? 'run' : `run ${runId}`}. Nothing was compared.\n\n${USAGE}`,
    )
    return 1
  }
  for (const run of verified) console.log(reportOf(run).join('\n'))
  return verified.some(({ findings }) => findings.unexplained > 0) ? 2 : 0
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2))
