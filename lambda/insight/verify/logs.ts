import * as z from 'zod'
import type { Manifest } from '../../archive/cards.ts'
import type { Totals } from '../../archive/cursor.ts'
import { LOG_KINDS, logFolder, runFileKey, runLineKey } from '../../archive/keys.ts'
import type { Run } from '../../archive/runs.ts'
import type { ExitCard } from '../../exit-card.ts'
import { runLine } from '../../run/lines/run-line.ts'
import { CARD_SUMS, noTotals } from '../../run/lines/totals.ts'
import { type Findings, pathsOfDifference, addDifference } from './differences.ts'
import { type ClosedRunDocuments, ofObject, readDocument } from './documents.ts'
import type { RunFiles } from './files.ts'
import { checkPage, type LedgerCheck, type NamedParts } from './page.ts'

/** What was compared. */
export type ComparedCounts = { readonly parts: number; readonly users: number; readonly mutations: number }

/**
 * Compares a closed run's logs with its manifest, its card and the rules, and where there is one with the
 * ledger. One page is in memory at a time. `enough` ends it early.
 */
export async function checkLogs(
  files: RunFiles,
  { run, manifest, card }: ClosedRunDocuments,
  findings: Findings,
  ledger: LedgerCheck | null = null,
  enough: () => boolean = () => false,
): Promise<{ readonly checked: ComparedCounts; readonly complete: boolean }> {
  const totals = noTotals()
  let parts = 0
  const pages = pagesOf(run.runId, manifest)
  for (const [page, named] of pages) {
    if (enough()) return { checked: checkedOf(parts, totals), complete: false }
    await checkPage(page, named, { files, run, findings, totals, ledger })
    parts += Object.keys(named).length
  }
  await checkStrays(files, run.runId, manifest, findings)
  if (card) {
    checkCard(card, totals, findings)
    await checkRunLine(files, run, card, findings)
  }
  return { checked: checkedOf(parts, totals), complete: true }
}

function checkedOf(parts: number, { userLines, mutationLines }: Totals): ComparedCounts {
  return { parts, users: userLines, mutations: mutationLines }
}

/** The parts that a manifest names, by page, in order. */
function pagesOf(runId: string, { files }: Manifest): [number, NamedParts][] {
  const pages = new Map<number, NamedParts>()
  for (const file of files) {
    const kind = LOG_KINDS.find((one) => file.key.startsWith(logFolder(runId, one)))
    if (kind === undefined) continue
    const page = Number(file.key.slice(logFolder(runId, kind).length).split('-')[0])
    pages.set(page, { ...pages.get(page), [kind]: file })
  }
  return [...pages].toSorted(([a], [b]) => a - b)
}

/** A part with lines that the manifest does not name would be counted by everything that reads the folder. */
async function checkStrays(
  files: RunFiles,
  runId: string,
  manifest: Manifest,
  findings: Findings,
): Promise<void> {
  const named = new Set(manifest.files.map(({ key }) => key))
  for (const kind of LOG_KINDS) {
    for await (const { key, bytes } of files.list(logFolder(runId, kind))) {
      if (bytes > 0 && !named.has(key))
        addDifference(findings, ofObject(key, 'object', null, `${bytes} bytes that no manifest names`))
    }
  }
}

/** The line in the table of runs, which queries read: no manifest names it, since run and card give it. */
async function checkRunLine(files: RunFiles, run: Run, card: ExitCard, findings: Findings): Promise<void> {
  const where = runLineKey(run.runId)
  const line = await readDocument(files, where, z.unknown(), findings)
  if (line === null) return
  for (const { path, expected, found } of pathsOfDifference(runLine(run, card), line))
    addDifference(findings, ofObject(where, path, expected, found))
}

const SUMS = [...CARD_SUMS, 'outcomes', 'flags'] as const

/** The lines added up again give the card's totals. */
function checkCard(card: ExitCard, totals: Totals, findings: Findings): void {
  const where = runFileKey(card.runId, 'summary.json')
  for (const key of SUMS) {
    for (const { path, expected, found } of pathsOfDifference(totals[key], card.totals[key], key))
      addDifference(findings, ofObject(where, `totals.${path}`, expected, found))
  }
  const byCategory = Object.fromEntries(card.byCategory.map((one) => [one.category, one]))
  for (const [category, sums] of Object.entries(totals.byCategory)) {
    const { grants, expiredMicrodollars, faceValueMicrodollars } = byCategory[category] ?? NO_CATEGORY
    const shown = { grants, expiredMicrodollars, faceValueMicrodollars }
    for (const { path, expected, found } of pathsOfDifference(sums, shown, category))
      addDifference(findings, ofObject(where, `byCategory.${path}`, expected, found))
  }
}

const NO_CATEGORY = { grants: 0, expiredMicrodollars: 0, faceValueMicrodollars: 0 }
