import { deflateRawSync } from 'node:zlib'
import { amountColumn, quoted } from './page/values.ts'
import { html, type Html, markup, nothing } from './page/html.ts'
import { counted, number } from './page/text.ts'
import type { ReportInput, ReportUser } from './input.ts'
import { FLAG_MEANINGS, modeWords, OUTCOME_NAMES, outcomeWords } from './words.ts'

/** Rows in the page itself, for readers without JavaScript; the script puts its own in their place. */
const STATIC_ROWS = 50

/** How much detail a table has: users, and grants of each. */
export type Detail = { readonly users: number; readonly grants: number }

type Column = { readonly key: string; readonly label: string; readonly amounts: boolean }

/**
 * The users of a run: a table that the script makes sortable and searchable, with the grants of each
 * user.
 */
export function usersTable(input: ReportInput, detail: Detail): Html {
  const users = input.users.slice(0, detail.users)
  const columns = columnsOf(input)
  return html`<section aria-labelledby="users-title" class="users">
    <h2 id="users-title">Users</h2>
    <p>${note(input.usersLogged, users.length)}</p>
    <div class="tools" id="tools" hidden>
      <label class="search">
        <span>Search</span>
        <input
          type="search"
          id="search"
          autocomplete="off"
          spellcheck="false"
          placeholder="E-mail, id, category…"
        />
      </label>
      <label>
        <span>Outcome</span>
        <select id="outcome"></select>
      </label>
      <p id="matches" role="status"></p>
    </div>
    <table id="users" role="table">
      <thead role="rowgroup">
        <tr role="row">
          ${columns.map(({ key, label, amounts }) => {
            const kind = amounts ? 'money' : ''
            return html`<th scope="col" role="columnheader" data-key="${key}" data-label="${label}"
              class="${kind}">${label}</th>`
          })}
        </tr>
      </thead>
      <tbody role="rowgroup">
        ${staticRows(users.slice(0, STATIC_ROWS), input, columns)}
      </tbody>
    </table>
    <p class="more">
      <button type="button" id="more" hidden></button>
      <span id="static" class="quiet">${staticNote(users.length)}</span>
    </p>
    <script type="application/octet-stream" id="data">
      ${markup(packed(input, users, columns, detail))}
    </script>
  </section>`
}

function columnsOf({ card }: ReportInput): Column[] {
  const { column, correctionColumn } = modeWords(card.mode)
  return [
    { key: 'user', label: 'User', amounts: false },
    { key: 'outcome', label: 'Outcome', amounts: false },
    { key: 'grantsTargeted', label: 'Grants', amounts: true },
    { key: 'beforeMicrodollars', label: 'Balance before', amounts: true },
    { key: 'movedMicrodollars', label: column, amounts: true },
    { key: 'correctedMicrodollars', label: correctionColumn, amounts: true },
    { key: 'finalMicrodollars', label: 'Final balance', amounts: true },
  ]
}

function note(logged: number, kept: number): string {
  if (kept === logged) return `All ${counted(logged, 'user')} of the run, the largest amount first.`
  return (
    `The ${counted(kept, 'user')} with the largest amounts, of ${number(logged)} in the run. ` +
    'The users log has a line for each of the others.'
  )
}

function staticNote(users: number): string {
  const rows = users > STATIC_ROWS ? `This table shows the ${STATIC_ROWS} largest amounts. ` : ''
  return `${rows}To sort, to search and to see grants, open the file in a browser with JavaScript turned on.`
}

function staticRows(users: readonly ReportUser[], { card }: ReportInput, columns: readonly Column[]): Html[] {
  const column = (index: number, amounts: (number | null)[]) =>
    amountColumn(columns[index]?.label ?? '', amounts)
  const before = column(
    3,
    users.map(({ beforeMicrodollars }) => beforeMicrodollars),
  )
  const moved = column(
    4,
    users.map(({ movedMicrodollars }) => movedMicrodollars),
  )
  const corrected = column(
    5,
    users.map(({ correctedMicrodollars }) => correctedMicrodollars || null),
  )
  const final = column(
    6,
    users.map(({ finalMicrodollars }) => finalMicrodollars),
  )
  return users.map(
    (user, index) =>
      html`<tr>
        <th scope="row">${quoted(user.email ?? user.id)}</th>
        <td data-label="Outcome">${outcomeWords(user.outcome, card).label}</td>
        <td class="money" data-label="Grants">${number(user.grantsTargeted)}</td>
        ${[before, moved, corrected, final].map((cells) => cells[index] ?? nothing)}
      </tr>`,
  )
}

/**
 * What the script reads: JSON, deflated so that thousands of users fit into a file, in base64 so that no
 * text in it can end the element that holds it.
 */
function packed(
  { card }: ReportInput,
  users: readonly ReportUser[],
  columns: readonly Column[],
  detail: Detail,
): string {
  const labels = Object.fromEntries(columns.map(({ key, label }) => [key, label]))
  const data = {
    labels,
    restores: modeWords(card.mode).restores,
    outcomes: Object.fromEntries(OUTCOME_NAMES.map((name) => [name, outcomeWords(name, card)])),
    flags: FLAG_MEANINGS,
    users: users.map((user) => withGrants(user, detail.grants)),
  }
  return deflateRawSync(JSON.stringify(data)).toString('base64')
}

function withGrants(user: ReportUser, most: number): ReportUser {
  if (user.grants.length <= most) return user
  const grantsOmitted = user.grantsOmitted + user.grants.length - most
  return { ...user, grants: user.grants.slice(0, most), grantsOmitted }
}
