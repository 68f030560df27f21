import type { DiffAnswer, GrantDifference, UserDifference } from '../../../lambda/insight/diff.ts'
import { dollars } from '../../../lambda/exit-card.ts'
import { nextSection } from './report.ts'
import { count, money, section, table, textOf } from './tables.ts'
import { paragraph } from './prose.ts'
import { type Output, printable } from '../terminal.ts'

type Out = Pick<Output, 'columns' | 'style'>

/** Users and grants of a user that are listed: --json has more. */
const MOST_USERS = 25
const MOST_GRANTS = 3

/**
 * What differs between two runs, for people: the counts, the sums, and the users with the largest
 * differences, grant by grant.
 */
export function diffText(answer: DiffAnswer, out: Out): string {
  const [first, second] = answer.runIds
  return textOf([
    out.style('bold', `Compared: ${answer.result}`),
    ...paragraph(`first   ${first}`, out.columns, '  '),
    ...paragraph(`second  ${second}`, out.columns, '  '),
    '',
    ...counts(answer),
    '',
    ...sums(answer),
    ...largest(answer, out),
    ...nextSection(answer.next, out),
  ])
}

function counts({ users, grants }: DiffAnswer): string[] {
  const rows = (['new', 'gone', 'changed'] as const).map((what) => [
    `  ${what}`,
    count(users[what]),
    count(grants[what]),
  ])
  const right = { right: true } as const
  return table([{ head: '' }, { head: 'users', ...right }, { head: 'grants', ...right }], rows, Infinity)
}

function sums({ expiredMicrodollars: { first, second, difference } }: DiffAnswer): string[] {
  const amounts = money([first, second, difference])
  const rows = ['Free credit, first', 'Free credit, second', 'Difference'].map((name, at) => [
    name,
    amounts[at] ?? '',
  ])
  return table([{ head: '' }, { head: '', right: true }], rows, Infinity)
}

function differenceOf({ expiredMicrodollars: { first, second } }: UserDifference): number {
  return (second ?? 0) - (first ?? 0)
}

function largest({ differences, differencesOmitted }: DiffAnswer, out: Out): string[] {
  const users = differences
    .toSorted((a, b) => Math.abs(differenceOf(b)) - Math.abs(differenceOf(a)))
    .slice(0, MOST_USERS)
  if (users.length === 0) return []
  const columns = [
    { head: 'user', least: 16 },
    { head: '', least: 7 },
    { head: 'first', right: true, optional: 1 },
    { head: 'second', right: true },
    { head: 'difference', right: true },
  ] as const
  const amounts = [
    money(users.map(({ expiredMicrodollars }) => expiredMicrodollars.first)),
    money(users.map(({ expiredMicrodollars }) => expiredMicrodollars.second)),
    money(users.map(differenceOf)),
  ]
  const rows = users.map(({ email, userId, what }, at) => [
    printable(email ?? userId),
    what,
    ...amounts.map((column) => column[at] ?? ''),
  ])
  const [head = '', ...lines] = table(columns, rows, out.columns - 2)
  const all = differences.length + differencesOmitted
  const listed = all > users.length ? `, ${users.length} of ${count(all)} users` : ''
  const more =
    all > users.length
      ? paragraph('More of them: add --json, or compare --csv grants of both runs.', out.columns, '  ')
      : []
  return [
    ...section(out.style('bold', `Largest differences${listed}`), [
      `  ${out.style('dim', head)}`,
      ...users.flatMap((user, at) => [`  ${lines[at] ?? ''}`, ...details(user, out)]),
    ]),
    ...more.map((line) => out.style('dim', line)),
  ]
}

/** What is behind a user's difference: another outcome, and the grants. */
function details({ what, outcome, grants, grantsOmitted }: UserDifference, out: Out): string[] {
  const changed = what === 'changed' && outcome.first !== outcome.second
  const rest = Math.max(0, grants.length - MOST_GRANTS) + grantsOmitted
  return [
    ...(changed ? [`outcome ${outcome.first}, then ${outcome.second}`] : []),
    ...grants.slice(0, MOST_GRANTS).map(grantText),
    ...(rest > 0 ? [`and ${count(rest)} more grants`] : []),
  ]
    .flatMap((text) => paragraph(printable(text), out.columns, '    ', '      '))
    .map((line) => out.style('dim', line))
}

function grantText({ what, category, amountMicrodollars, expiredMicrodollars, id }: GrantDifference): string {
  const { first, second } = expiredMicrodollars
  const expires = { new: left(second), gone: left(first), changed: `${left(first)}, then ${left(second)}` }
  return `${what}: ${category ?? 'a grant'} of ${dollars(amountMicrodollars)}, ${expires[what]} left (${id})`
}

function left(microdollars: number | null): string {
  return microdollars === null ? 'not closed' : dollars(microdollars)
}
