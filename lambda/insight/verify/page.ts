import * as z from 'zod'
import type { ManifestFile } from '../../archive/cards.ts'
import type { Totals } from '../../archive/cursor.ts'
import { LOG_KINDS, type LogKind, pageKey, partKey } from '../../archive/keys.ts'
import { type Page, pageSchema } from '../../archive/pages.ts'
import type { Run } from '../../archive/runs.ts'
import type { LoggedChange } from '../../rules/rollback.ts'
import { mutationSchema, toLoggedChange } from '../../run/lines/logged-change.ts'
import { addUserLine, countedSchema } from '../../run/lines/totals.ts'
import { chunks } from '../chunks.ts'
import { type Difference, type Findings, addDifference } from './differences.ts'
import { checkHash, ofObject, readDocument } from './documents.ts'
import { linesOfBytes, type RunFiles } from './files.ts'
import { type ReadUser, readUserLine, replan } from './rules.ts'

/** How users are compared with the ledger, and the differences of a page explained by later runs. */
export type LedgerCheck = {
  readonly compare: (users: readonly ReadUser[]) => Promise<Difference[]>
  readonly explain: (differences: readonly Difference[]) => Promise<Difference[]>
}

/** The parts of one page that a manifest names. */
export type NamedParts = Partial<Record<LogKind, ManifestFile>>

/** What a page is compared with, and what its comparison adds to. */
type Comparison = {
  readonly files: RunFiles
  readonly run: Run
  readonly findings: Findings
  readonly totals: Totals
  readonly ledger: LedgerCheck | null
}

/** A page may have thousands of users; the lines of so many are parsed at a time. */
const USERS_AT_A_TIME = 50

/** Compares the log parts of one page with their hashes, the page as it was frozen, the rules and the ledger. */
export async function checkPage(page: number, named: NamedParts, comparison: Comparison): Promise<void> {
  const { files, run, findings, totals, ledger } = comparison
  const read = await readParts(files, named, findings)
  const frozen = await frozenPage(files, run.runId, page, findings)
  const changes = run.selection.rollback === null ? NO_CHANGES : await changesOf(files, run, frozen)
  const mutations = byUserOf(read.mutations, named, findings)
  const where = named.users?.key ?? ''
  const userIds: string[] = []
  const inLedger: Difference[] = []
  let after = 0
  for (const texts of chunks(read.users, USERS_AT_A_TIME)) {
    const users = usersOf(texts, { where, after, mutations }, findings)
    after += texts.length
    for (const user of users) checkUser(user, changes.get(user.line.user_id) ?? null, where, comparison)
    userIds.push(...users.map(({ line }) => line.user_id))
    if (ledger) inLedger.push(...(await ledger.compare(users)))
  }
  for (const [userId, { length }] of mutations)
    addDifference(findings, { ...ofObject(named.mutations?.key ?? '', 'mutation lines', 0, length), userId })
  if (frozen) checkUsers(frozen, userIds, where, findings)
  if (ledger) for (const difference of await ledger.explain(inLedger)) addDifference(findings, difference)
  totals.mutationLines += read.mutations.length
  totals.errorLines += read.errors.length
}

const NO_CHANGES: ReadonlyMap<string, LoggedChange> = new Map()

/** Plans a user again, and adds the line to the totals. */
function checkUser(
  user: ReadUser,
  change: LoggedChange | null,
  where: string,
  { run, findings, totals }: Comparison,
): void {
  const { differences, line } = replan(run, user, change, where)
  for (const difference of differences) addDifference(findings, difference)
  // A line that the rules give again has the form of a line; any other is parsed before it is counted.
  const counted = line ?? countedSchema.safeParse(user.parsed).data
  if (counted) addUserLine(totals, counted)
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

/** The lines of the mutation log by user; a line that cannot be read is a difference. */
function byUserOf(
  mutations: readonly string[],
  named: NamedParts,
  findings: Findings,
): Map<string, readonly string[]> {
  const byUser = new Map<string, string[]>()
  for (const [index, text] of mutations.entries()) {
    const userId = userIdOf(text)
    const others = byUser.get(userId ?? '')
    if (userId === null)
      addDifference(findings, ofObject(named.mutations?.key ?? '', `line ${index + 1}`, 'readable', null))
    else if (others) others.push(text)
    else byUser.set(userId, [text])
  }
  return byUser
}

/** Where lines of the users log are from, how many come before, and lines of the mutation log for users. */
type Beside = {
  readonly where: string
  readonly after: number
  readonly mutations: Map<string, readonly string[]>
}

/** Users by their lines, each with its mutation lines, which are taken out; an unreadable one is a difference. */
function usersOf(
  texts: readonly string[],
  { where, after, mutations }: Beside,
  findings: Findings,
): ReadUser[] {
  return texts.flatMap((text, index): ReadUser[] => {
    const user = readUserLine(text)
    if (!user) {
      addDifference(findings, ofObject(where, `line ${after + index + 1}`, 'readable', null))
      return []
    }
    const own = mutations.get(user.line.user_id) ?? []
    mutations.delete(user.line.user_id)
    return [{ ...user, mutations: own }]
  })
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
function checkUsers({ userIds }: Page, logged: readonly string[], where: string, findings: Findings): void {
  const found = new Set(logged)
  const expected = new Set(userIds)
  for (const userId of userIds) {
    if (!found.has(userId)) addDifference(findings, { ...ofObject(where, 'line', 'present', null), userId })
  }
  for (const userId of found) {
    if (!expected.has(userId))
      addDifference(findings, { ...ofObject(where, 'line', null, 'present'), userId })
  }
  if (logged.length > found.size)
    addDifference(findings, ofObject(where, 'lines of one user twice', 0, logged.length - found.size))
}

/** What a rollback's page rolls back: the mutations of the run that it names, where they are at hand. */
async function changesOf(
  files: RunFiles,
  { selection }: Run,
  frozen: Page | null,
): Promise<ReadonlyMap<string, LoggedChange>> {
  if (!frozen?.source || selection.rollback === null) return NO_CHANGES
  const { page, epoch } = frozen.source
  const bytes = await files.read(partKey(selection.rollback, 'mutations', page, epoch))
  const mutations = linesOfBytes(bytes).flatMap(
    (text) => mutationSchema.safeParse(JSON.parse(text)).data ?? [],
  )
  const byUser = Map.groupBy(mutations, (mutation) => mutation.user_id)
  return new Map([...byUser].map(([userId, own]) => [userId, toLoggedChange(userId, own)]))
}
