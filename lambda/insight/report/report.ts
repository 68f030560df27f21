import { about, newSince, nextStep } from './about.ts'
import { distribution } from './bars.ts'
import { corrections, failures, skippedUsers, warnings } from './exceptions.ts'
import { head } from './head.ts'
import type { ReportInput } from './input.ts'
import { html } from './page/html.ts'
import { pageOf } from './page/shell.ts'
import { SCRIPT } from './page/script.ts'
import { type Detail, usersTable } from './users-table.ts'
import { modeWords } from './words.ts'

/** The largest report, in bytes: a file that a mail or a browser takes without complaint. */
export const MOST_BYTES = 2_000_000

/**
 * Most detail first. The last one fits whatever the texts of the users are, since their lengths are
 * limited.
 */
const DETAILS: readonly Detail[] = [
  { users: 5_000, grants: 50 },
  { users: 5_000, grants: 12 },
  { users: 5_000, grants: 3 },
  { users: 5_000, grants: 0 },
  { users: 1_000, grants: 0 },
]

/**
 * The report of a run as one HTML file under `MOST_BYTES`: no request to anywhere, every value escaped, the
 * same text for the same input. Where all details do not fit, it has fewer grants of a user, then fewer
 * users, and a note says so.
 *
 * @throws Error for a card of an unknown mode.
 */
export function renderReport(input: ReportInput): string {
  for (const detail of DETAILS.slice(0, -1)) {
    const page = reportWith(input, detail)
    if (Buffer.byteLength(page) < MOST_BYTES) return page
  }
  return reportWith(input, DETAILS.at(-1) ?? { users: 0, grants: 0 })
}

function reportWith(input: ReportInput, detail: Detail): string {
  const { card } = input
  const body = html`${head(card)} ${warnings(input)} ${failures(input)} ${newSince(card)}
  ${distribution(input)} ${skippedUsers(input)} ${corrections(input)} ${usersTable(input, detail)}
  ${nextStep(card)} ${about(card)}`
  return pageOf({ title: `${modeWords(card.mode).name} ${card.runId}`, body, script: SCRIPT })
}
