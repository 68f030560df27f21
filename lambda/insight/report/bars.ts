import { amountColumn, quoted } from './page/values.ts'
import { html, type Html, nothing } from './page/html.ts'
import { number } from './page/text.ts'
import type { ReportCard, ReportInput, Share } from './input.ts'
import { modeWords } from './words.ts'

/** Where the credit was: by category, by domain and by size of balance, as bars beside their figures. */
export function distribution(input: ReportInput): Html {
  const { card, byDomain, byBalance } = input
  const { column, restores, writes } = modeWords(card.mode)
  const balances = restores ? 'By balance after the rollback' : 'By balance before the run'
  return html`<section aria-labelledby="where">
    <h2 id="where">Where the credit ${writes && !restores ? 'was' : 'is'}</h2>
    ${byCategory(card)}
    <div class="pair">
      ${byShare('By domain', 'Domain', byDomain, column)} ${byShare(balances, 'Balance', byBalance, column)}
    </div>
  </section>`
}

function byCategory({ mode, byCategory: categories }: ReportCard): Html {
  const { column, moved: expired } = modeWords(mode)
  if (categories.length === 0) return html`<p class="quiet">No grant was targeted.</p>`
  const rows = categories
    .map((total) => ({
      ...total,
      moved: Math.abs(total.expiredMicrodollars),
      face: Math.abs(total.faceValueMicrodollars),
    }))
    .toSorted((a, b) => b.moved - a.moved || b.face - a.face)
  const longest = Math.max(...rows.map(({ face, moved }) => Math.max(face, moved)))
  const all = {
    grants: sum(rows.map(({ grants }) => grants)),
    face: sum(rows.map(({ face }) => face)),
    moved: sum(rows.map(({ moved }) => moved)),
  }
  const faces = amountColumn('Face value', [...rows.map(({ face }) => face), all.face])
  const amounts = amountColumn(column, [...rows.map(({ moved }) => moved), all.moved])
  return html`<table class="bars wide">
    <caption>
      By category of grant
      <span class="quiet">
        Each bar is the face value of the targeted grants, skipped users' too; its strong part ${expired}.
      </span>
    </caption>
    <thead>
      <tr>
        <th scope="col">Category</th>
        <td></td>
        <th scope="col" class="money">Grants</th>
        <th scope="col" class="money">Face value</th>
        <th scope="col" class="money">${column}</th>
      </tr>
    </thead>
    <tbody>
      ${rows.map(
        (row, index) =>
          html`<tr>
            <th scope="row">${quoted(row.category, 60)}</th>
            <td class="bar">${bar(row.moved, row.face, longest)}</td>
            <td class="money" data-label="Grants">${number(row.grants)}</td>
            ${faces[index] ?? nothing}${amounts[index] ?? nothing}
          </tr>`,
      )}
    </tbody>
    ${
      rows.length === 1
        ? nothing
        : html`<tfoot>
            <tr>
              <th scope="row">All categories</th>
              <td class="bar"></td>
              <td class="money" data-label="Grants">${number(all.grants)}</td>
              ${faces.at(-1) ?? nothing}${amounts.at(-1) ?? nothing}
            </tr>
          </tfoot>`
    }
  </table>`
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0)
}

function byShare(caption: string, name: string, shares: readonly Share[], column: string): Html {
  const longest = Math.max(0, ...shares.map(({ movedMicrodollars }) => movedMicrodollars))
  const amounts = amountColumn(
    column,
    shares.map(({ movedMicrodollars }) => movedMicrodollars),
  )
  if (longest === 0) return nothing
  return html`<table class="bars">
    <caption>
      ${caption}
    </caption>
    <thead>
      <tr>
        <th scope="col">${name}</th>
        <td></td>
        <th scope="col" class="money">Users</th>
        <th scope="col" class="money">${column}</th>
      </tr>
    </thead>
    <tbody>
      ${shares.map(
        (share, index) =>
          html`<tr>
            <th scope="row">${quoted(share.label)}</th>
            <td class="bar">${bar(share.movedMicrodollars, 0, longest)}</td>
            <td class="money" data-label="Users">${number(share.users)}</td>
            ${amounts[index] ?? nothing}
          </tr>`,
      )}
    </tbody>
  </table>`
}

/** Hidden from assistive technology, because the figures are in the cell beside the bar. */
function bar(dark: number, light: number, longest: number): Html {
  const width = (part: number) => (longest === 0 ? 0 : (part / longest) * 100).toFixed(2)
  return html`<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
    <rect class="face" width="${width(light)}" height="10" />
    <rect class="moved" width="${width(dark)}" height="10" />
  </svg>`
}
