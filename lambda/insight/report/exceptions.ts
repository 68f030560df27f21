import { amountColumn, quoted } from './page/values.ts'
import { html, type Html, nothing } from './page/html.ts'
import { counted } from './page/text.ts'
import type { ReportInput, ReportUser } from './input.ts'
import { modeWords, outcomeWords } from './words.ts'

/** What a reader must know before going on: the warnings of the card, each explained. */
export function warnings({ warnings: all }: ReportInput): Html {
  if (all.length === 0) return nothing
  return html`<section aria-labelledby="warnings">
    <h2 id="warnings">Warnings</h2>
    <ul class="warnings">
      ${all.map(
        ({ text, explanation }) =>
          html`<li>
            <p>
              <strong>${quoted(sentence(text))}</strong>
            </p>
            ${explanation === null ? nothing : html`<p>${explanation}</p>`}
          </li>`,
      )}
    </ul>
  </section>`
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? '' : '.')
}

/** Skipped users, by reason. */
export function skippedUsers({ card, skipped }: ReportInput): Html {
  if (skipped.length === 0) return nothing
  return html`<section aria-labelledby="skipped">
    <h2 id="skipped">Skipped users</h2>
    ${skipped.map(({ outcome, users }) => {
      const { label, meaning } = outcomeWords(outcome, card)
      const count = Math.max(card.totals.outcomes[outcome] ?? 0, users.length)
      return html`<h3>${label} <span class="quiet">${counted(count, 'user')}</span></h3>
        <p>${meaning}</p>
        <ul class="people">
          ${users.map(skippedUser)}
          ${count > users.length ? html`<li class="quiet">${more(count - users.length)}</li>` : nothing}
        </ul>`
    })}
  </section>`
}

function more(count: number): string {
  return `and ${counted(count, 'more user', 'more users')}, in the users log`
}

function skippedUser(user: ReportUser): Html {
  const reasons = user.reasons.map((reason) => html`<li>${quoted(reason)}</li>`)
  return html`<li>
    ${quoted(user.email ?? user.id)}${
      reasons.length === 0
        ? nothing
        : html`<ul>
            ${reasons}
          </ul>`
    }
  </li>`
}

/** Balances that a correction brought to zero, or from which a rollback takes the correction. */
export function corrections({ card, corrected }: ReportInput): Html {
  const { restores, column, correctionColumn } = modeWords(card.mode)
  if (corrected.length === 0) return nothing
  const before = amountColumn(
    'Balance before',
    corrected.map(({ beforeMicrodollars }) => beforeMicrodollars),
  )
  const moved = amountColumn(
    column,
    corrected.map(({ movedMicrodollars, otherMicrodollars }) => movedMicrodollars + otherMicrodollars),
  )
  const amounts = amountColumn(
    correctionColumn,
    corrected.map(({ correctedMicrodollars }) => correctedMicrodollars),
  )
  const after = amountColumn(
    'Final balance',
    corrected.map(({ finalMicrodollars }) => finalMicrodollars),
  )
  const rest = card.totals.usersCorrected - corrected.length
  return html`<section aria-labelledby="corrections">
    <h2 id="corrections">Corrections</h2>
    <p>
      ${
        restores
          ? 'These users had a correction by the run that is rolled back. It is removed with the rest.'
          : 'Without a correction these balances would end below zero. It brings them to exactly $0.00.'
      }
    </p>
    <table class="plain">
      <thead>
        <tr>
          <th scope="col">User</th>
          <th scope="col" class="money">Balance before</th>
          <th scope="col" class="money">${column}</th>
          <th scope="col" class="money">${correctionColumn}</th>
          <th scope="col" class="money">Final balance</th>
        </tr>
      </thead>
      <tbody>
        ${corrected.map(
          (user, index) =>
            html`<tr>
              <th scope="row">${quoted(user.email ?? user.id)}</th>
              ${[before, moved, amounts, after].map((cells) => cells[index] ?? nothing)}
            </tr>`,
        )}
      </tbody>
    </table>
    ${rest > 0 ? html`<p class="quiet">${more(rest)}</p>` : nothing}
  </section>`
}

/** What went wrong, user by user. */
export function failures({ card, failures: all }: ReportInput): Html {
  const { usersFailed } = card.totals
  if (usersFailed === 0 && all.length === 0) return nothing
  return html`<section aria-labelledby="failures">
    <h2 id="failures">Failures</h2>
    <p>
      ${counted(usersFailed, 'user')} failed. Nothing was written for a user that failed. Fix the cause, then
      run again: users that are done are not changed twice.
    </p>
    <ul class="people">
      ${all.map(
        ({ userId, stage, message }) =>
          html`<li>
            ${quoted(userId ?? 'The run')} <span class="quiet">while it was in stage ${stage}</span>
            <ul>
              <li>${quoted(message)}</li>
            </ul>
          </li>`,
      )}
    </ul>
    ${all.length < usersFailed ? html`<p class="quiet">The errors log lists every failure.</p>` : nothing}
  </section>`
}
