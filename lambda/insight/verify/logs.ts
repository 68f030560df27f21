import * as z from 'zod'
import type { Manifest, ManifestFile } from '../../archive/cards.ts'
import type { Totals } from '../../archive/cursor.ts'
import {
  LOG_KINDS,
  logFolder,
  type LogKind,
  pageKey,
  partKey,
  runFileKey,
  runLineKey,
} from '../../archive/keys.ts'
import { type Page, pageSchema } from '../../archive/pages.ts'
import type { Run } from '../../archive/runs.ts'
import type { ExitCard } from '../../exit-card.ts'
import type { LoggedChange } from '../../rules/rollback.ts'
import { type Mutation, mutationSchema, toLoggedChange } from '../../run/lines/logged-change.ts'
import { runLine } from '../../run/lines/run-line.ts'
import { addUserLine, CARD_SUMS, countedSchema, noTotals } from '../../run/lines/totals.ts'
import { type Findings, pathsOfDifference, report } from './differences.ts'
import { checkHash, type ClosedRun, ofObject, readDocument } from './documents.ts'
import { linesOfBytes, type RunFiles } from './files.ts'
import { type ReadUser, readUserLine, replan } from './rules.ts'

/** One page of a run as its logs have it. */
export type LoggedPage = { readonly page: number; readonly users: readonly ReadUser[] }

/** What was compared. */
export type Checked = { readonly parts: number; readonly users: number; readonly mutations: number }

/**
 * Compares a closed run's logs with its manifest, its card and the rules, page by page, and hands each page
 * on. One page is in memory at a time. `enough` ends it early.
 */
export async function checkLogs(
  files: RunFiles,
  { run, manifest, card }: ClosedRun,
  findings: Findings,
  onPage: (page: LoggedPage) => Promise<void>,
  enough: () => boolean = () => false,
): Promise<{ readonly checked: Checked; readonly complete: boolean }> {
  const totals = noTotals()
  let parts = 0
  const pages = pagesOf(run.runId, manifest)
  for (const [page, named] of pages) {
    if (enough()) return { checked: checkedOf(parts, totals), complete: false }
    const read = await readParts(files, named, findings)
    parts += Object.keys(named).length
    const users = usersOf(read, named, findings)
    const frozen = await frozenPage(files, run.runId, page, findings)
    if (frozen) checkUsers(frozen, users, named.users?.key ?? '', findings)
    const changes = run.selection.rollback !== null ? await changesOf(files, run, frozen) : new Map()
    for (const user of users) {
      const { differences, line } = replan(
        run,
        user,
        changes.get(user.line.user_id) ?? null,
        named.users?.key ?? '',
      )
      for (const difference of differences) report(findings, difference)
      // A line that the rules give again has the form of a line; any other is parsed before it is counted.
      const counted = line ?? countedSchema.safeParse(user.parsed).data
      if (counted) addUserLine(totals, counted)
    }
    totals.mutationLines += read.mutations.length
    totals.errorLines += read.errors.length
    await onPage({ page, users })
  }
  await checkStrays(files, run.runId, manifest, findings)
  if (card) {
    checkCard(card, totals, findings)
    await checkRunLine(files, run, card, findings)
  }
  return { checked: checkedOf(parts, totals), complete: true }
}

function checkedOf(parts: number, { userLines, mutationLines }: Totals): Checked {
  return { parts, users: userLines, mutations: mutationLines }
}

type NamedParts = Partial<Record<LogKind, ManifestFile>>

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

type ReadParts = Record<LogKind, string[]>

async function readParts(files: RunFiles, named: NamedParts, findings: Findings): Promise<ReadParts> {
  const read: ReadParts = { users: [], mutations: [], errors: [] }
  for (const kind of LOG_KINDS) {
    const file = named[kind]
    if (!file) continue
    const bytes = await files.read(file.key)
    checkHash(file, bytes, findings)
    read[kind] = linesOfBytes(bytes)
  }
  return read
}

const USER_ID = z.object({ user_id: z.string() })

/** The lines of the users log with those of the mutation log; a line that cannot be read is a difference. */
function usersOf({ users, mutations }: ReadParts, named: NamedParts, findings: Findings): ReadUser[] {
  const byUser = new Map<string, string[]>()
  for (const [index, text] of mutations.entries()) {
    const userId = userIdOf(text)
    if (userId === null)
      report(findings, ofObject(named.mutations?.key ?? '', `line ${index + 1}`, 'readable', null))
    else byUser.set(userId, [...(byUser.get(userId) ?? []), text])
  }
  const read = users.flatMap((text, index): ReadUser[] => {
    const user = readUserLine(text)
    if (!user) {
      report(findings, ofObject(named.users?.key ?? '', `line ${index + 1}`, 'readable', null))
      return []
    }
    const own = byUser.get(user.line.user_id) ?? []
    byUser.delete(user.line.user_id)
    return [{ ...user, mutations: own }]
  })
  for (const [userId, lines] of byUser) {
    const where = named.mutations?.key ?? ''
    report(findings, { ...ofObject(where, 'mutation lines', 0, lines.length), userId })
  }
  return read
}

function userIdOf(text: string): string | null {
  try {
    return USER_ID.parse(JSON.parse(text)).user_id
  } catch {
    // The caller reports the line.
    return null
  }
}

/** The users that a page was frozen with. A downloaded folder may have no pages. */
async function frozenPage(
  files: RunFiles,
  runId: string,
  page: number,
  findings: Findings,
): Promise<Page | null> {
  const key = pageKey(runId, page)
  return (await files.read(key)) ? readDocument(files, key, pageSchema, findings) : null
}

/** Every user of a page has one line, in the order of the page. */
function checkUsers({ userIds }: Page, users: readonly ReadUser[], where: string, findings: Findings): void {
  const found = new Set(users.map(({ line }) => line.user_id))
  const expected = new Set(userIds)
  for (const userId of userIds) {
    if (!found.has(userId)) report(findings, { ...ofObject(where, 'line', 'present', null), userId })
  }
  for (const userId of found) {
    if (!expected.has(userId)) report(findings, { ...ofObject(where, 'line', null, 'present'), userId })
  }
  if (users.length > found.size)
    report(findings, ofObject(where, 'lines of one user twice', 0, users.length - found.size))
}

/** What a rollback's page rolls back: the mutations of the run that it names, where they are at hand. */
async function changesOf(
  files: RunFiles,
  { selection }: Run,
  frozen: Page | null,
): Promise<ReadonlyMap<string, LoggedChange>> {
  if (!frozen?.source || selection.rollback === null) return new Map()
  const { page, epoch } = frozen.source
  const bytes = await files.read(partKey(selection.rollback, 'mutations', page, epoch))
  const byUser = new Map<string, Mutation[]>()
  for (const text of linesOfBytes(bytes)) {
    const parsed = mutationSchema.safeParse(JSON.parse(text))
    if (parsed.success)
      byUser.set(parsed.data.user_id, [...(byUser.get(parsed.data.user_id) ?? []), parsed.data])
  }
  return new Map([...byUser].map(([userId, mutations]) => [userId, toLoggedChange(userId, mutations)]))
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
        report(findings, ofObject(key, 'object', null, `${bytes} bytes that no manifest names`))
    }
  }
}

/** The line in the table of runs, which queries read: no manifest names it, since run and card give it. */
async function checkRunLine(files: RunFiles, run: Run, card: ExitCard, findings: Findings): Promise<void> {
  const where = runLineKey(run.runId)
  const line = await readDocument(files, where, z.unknown(), findings)
  if (line === null) return
  for (const { path, expected, found } of pathsOfDifference(runLine(run, card), line))
    report(findings, ofObject(where, path, expected, found))
}

const SUMS = [...CARD_SUMS, 'outcomes', 'flags'] as const

/** The lines added up again give the card's totals. */
function checkCard(card: ExitCard, totals: Totals, findings: Findings): void {
  const where = runFileKey(card.runId, 'summary.json')
  for (const key of SUMS) {
    for (const { path, expected, found } of pathsOfDifference(totals[key], card.totals[key], key))
      report(findings, ofObject(where, `totals.${path}`, expected, found))
  }
  const byCategory = Object.fromEntries(card.byCategory.map((one) => [one.category, one]))
  for (const [category, sums] of Object.entries(totals.byCategory)) {
    const { grants, expiredMicrodollars, faceValueMicrodollars } = byCategory[category] ?? NO_CATEGORY
    const shown = { grants, expiredMicrodollars, faceValueMicrodollars }
    for (const { path, expected, found } of pathsOfDifference(sums, shown, category))
      report(findings, ofObject(where, `byCategory.${path}`, expected, found))
  }
}

const NO_CATEGORY = { grants: 0, expiredMicrodollars: 0, faceValueMicrodollars: 0 }
