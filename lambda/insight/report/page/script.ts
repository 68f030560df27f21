/**
 * The script of a report, as text: the browser runs it, nothing here does. It reads the packed users, and
 * shows them in chunks, so that a search over thousands of users draws a hundred rows. It makes elements
 * and text nodes only, never markup.
 */
export const SCRIPT = String.raw`
(async () => {
  'use strict'
  const CHUNK = 100
  const byId = (id) => document.getElementById(id)
  const table = byId('users')
  const body = table.tBodies[0]
  const more = byId('more')
  const search = byId('search')
  const outcome = byId('outcome')

  const bytes = Uint8Array.from(atob(byId('data').textContent), (character) => character.charCodeAt(0))
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'))
  const { users, labels, outcomes, flags, restores } = await new Response(stream).json()

  const AMOUNTS = ['beforeMicrodollars', 'movedMicrodollars', 'correctedMicrodollars', 'finalMicrodollars']
  const view = { query: '', outcome: '', key: 'movedMicrodollars', descending: true, matches: users, rows: 0 }

  function element(tag, attributes, ...children) {
    const made = document.createElement(tag)
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
    made.append(...children)
    return made
  }

  // Integer arithmetic on the digits: a division would round amounts of many digits.
  function dollars(microdollars) {
    const digits = String(Math.abs(microdollars)).padStart(7, '0')
    const whole = digits.slice(0, -6).replace(/\B(?=(\d{3})+$)/g, ',')
    const fraction = digits.slice(-6)
    return {
      main: (microdollars < 0 ? '-$' : '$') + whole + '.' + fraction.slice(0, 2),
      fine: fraction.slice(2).replace(/0+$/, ''),
    }
  }

  function digitsOf(amounts) {
    return Math.max(0, ...amounts.map((amount) => (amount === null ? 0 : dollars(amount).fine.length)))
  }

  function amountText(microdollars) {
    const { main, fine } = dollars(microdollars)
    const made = element('span', { class: 'amount' }, main)
    if (fine !== '') made.append(element('span', { class: 'fine' }, fine))
    return made
  }

  function money(amount, digits, label) {
    const cell = element('td', { class: 'money', role: 'cell', 'data-label': label })
    cell.setAttribute('data-pad', '0'.repeat(digits - (amount === null ? 0 : dollars(amount).fine.length)))
    cell.append(amount === null ? element('span', { class: 'none' }, '–') : amountText(amount))
    return cell
  }

  const nameOf = (user) => user.email ?? user.id
  const outcomeOf = (name) => outcomes[name] ?? { label: name, meaning: '' }
  const digits = Object.fromEntries(AMOUNTS.map((key) => [key, digitsOf(users.map((user) => user[key]))]))
  const texts = new Map(users.map((user) => [user, textOf(user)]))

  function textOf(user) {
    const grants = user.grants.flatMap((grant) => [grant.category, grant.description])
    const { email, id, outcome, flags, reasons } = user
    return [email, id, outcomeOf(outcome).label, ...flags, ...reasons, ...grants].join('\n').toLowerCase()
  }

  function valueOf(user, key) {
    if (key === 'user') return nameOf(user).toLowerCase()
    return key === 'outcome' ? outcomeOf(user.outcome).label : user[key]
  }

  // Users without a value come last in both directions.
  function compare(a, b) {
    const [x, y] = [valueOf(a, view.key), valueOf(b, view.key)]
    if (x === y) return 0
    if (x === null || y === null) return x === null ? 1 : -1
    return x < y === view.descending ? 1 : -1
  }

  function find() {
    const words = view.query.toLowerCase().split(/\s+/).filter(Boolean)
    const found = users.filter(
      (user) =>
        (view.outcome === '' || user.outcome === view.outcome) &&
        words.every((word) => texts.get(user).includes(word)),
    )
    view.matches = found.sort(compare)
    view.rows = 0
    body.replaceChildren()
    showMore()
    sayMatches()
  }

  function showMore() {
    const chunk = view.matches.slice(view.rows, view.rows + CHUNK)
    body.append(...chunk.map((user, index) => userRow(user, view.rows + index)))
    view.rows += chunk.length
    const left = view.matches.length - view.rows
    more.hidden = left === 0
    more.textContent = 'Show ' + Math.min(CHUNK, left) + ' more of ' + left.toLocaleString('en-US')
  }

  function sayMatches() {
    const moved = view.matches.reduce((sum, user) => sum + user.movedMicrodollars, 0)
    const [found, all] = [view.matches.length, users.length].map((count) => count.toLocaleString('en-US'))
    const count = found === all ? all + (all === '1' ? ' user' : ' users') : found + ' of ' + all + ' users'
    byId('matches').textContent = count + ', ' + labels.movedMicrodollars.toLowerCase() + ': ' + plain(moved)
  }

  function userRow(user, index) {
    const button = element('button', { type: 'button', class: 'user', 'aria-expanded': 'false' })
    button.append(element('bdi', {}, nameOf(user)))
    const row = element('tr', { role: 'row' }, element('th', { scope: 'row', role: 'rowheader' }, button))
    row.append(
      element('td', { role: 'cell', 'data-label': labels.outcome, class: 'outcome ' + user.outcome },
        outcomeOf(user.outcome).label),
      element('td', { role: 'cell', 'data-label': labels.grantsTargeted, class: 'money' },
        user.grantsTargeted.toLocaleString('en-US')),
      ...AMOUNTS.map((key) => money(shownAmount(user, key), digits[key], labels[key])),
    )
    button.addEventListener('click', () => toggle(button, row, user, 'details-' + index))
    return row
  }

  const shownAmount = (user, key) => (key === 'correctedMicrodollars' && user[key] === 0 ? null : user[key])

  function toggle(button, row, user, id) {
    const open = button.getAttribute('aria-expanded') === 'true'
    button.setAttribute('aria-expanded', String(!open))
    if (open) {
      byId(id).remove()
      button.removeAttribute('aria-controls')
      return
    }
    button.setAttribute('aria-controls', id)
    const cell = element('td', { colspan: '7', role: 'cell' }, ...details(user))
    row.after(element('tr', { role: 'row', class: 'details', id }, cell))
  }

  function details(user) {
    const notes = [
      outcomeOf(user.outcome).meaning,
      ...balanceStory(user),
      ...user.flags.map((flag) => flags[flag] ?? flag),
      ...user.reasons,
      ...(user.recovered ? ['Recovered: an invocation wrote this and ended before it was recorded.'] : []),
      ...(user.nextExpiration === null ? [] : ['Next expiration: ' + user.nextExpiration + '.']),
    ]
    const list = notes.filter(Boolean).map((note) => element('li', {}, element('bdi', {}, note)))
    return [
      element('p', { class: 'id' }, 'Id ', element('code', {}, user.id)),
      element('ul', {}, ...list),
      ...(user.grants.length > 0 ? [grantsTable(user)] : []),
      ...(user.grantsOmitted > 0 ? [element('p', { class: 'quiet' }, omitted(user.grantsOmitted))] : []),
    ]
  }

  // Narrow screens and paper leave columns out; the sentence has all of them.
  function balanceStory(user) {
    if (user.beforeMicrodollars === null) return []
    const parts = [
      ['before', user.beforeMicrodollars],
      [labels.movedMicrodollars.toLowerCase(), user.movedMicrodollars],
      ['other credit due', user.otherMicrodollars],
      [labels.correctedMicrodollars.toLowerCase(), user.correctedMicrodollars],
      ['final', user.finalMicrodollars],
    ]
    const told = parts.filter(([name, amount]) => amount !== 0 || name === 'before' || name === 'final')
    return ['Balance: ' + told.map(([name, amount]) => name + ' ' + plain(amount)).join(', ') + '.']
  }

  function plain(microdollars) {
    const { main, fine } = dollars(microdollars)
    return main + fine
  }

  function omitted(count) {
    return 'The users log has ' + count.toLocaleString('en-US') + ' more, smaller grants of this user.'
  }

  function grantsTable({ grants }) {
    const columns = [
      ['Amount', grants.map((grant) => grant.amountMicrodollars)],
      ...(restores ? [] : [['Spent', grants.map(spent)]]),
      [labels.movedMicrodollars, grants.map((grant) => grant.movedMicrodollars)],
    ]
    const heads = [['Grant', ''], ['Created', ''], ...columns.map(([label]) => [label, 'money'])]
    const headRow = heads.map(([label, name]) =>
      element('th', { scope: 'col', class: name, role: 'columnheader' }, label))
    const widths = columns.map(([, amounts]) => digitsOf(amounts))
    const rows = grants.map((grant, index) =>
      element('tr', { role: 'row' }, grantName(grant),
        element('td', { 'data-label': 'Created', role: 'cell' }, grant.created),
        ...columns.map(([label, amounts], column) => money(amounts[index], widths[column], label))),
    )
    return element('table', { class: 'grants', role: 'table' },
      element('thead', { role: 'rowgroup' }, element('tr', { role: 'row' }, ...headRow)),
      element('tbody', { role: 'rowgroup' }, ...rows))
  }

  const spent = (grant) =>
    grant.movedMicrodollars === null ? null : grant.amountMicrodollars - grant.movedMicrodollars

  function grantName(grant) {
    const kind = grant.targeted ? '' : grant.free ? ' not targeted' : ' paid, not targeted'
    return element('th', { scope: 'row', role: 'rowheader' },
      element('bdi', {}, grant.category ?? 'no category'), element('span', { class: 'quiet' }, kind),
      ...(grant.description === null ? [] : [element('bdi', { class: 'description' }, grant.description)]))
  }

  function sortBy(key) {
    view.descending = view.key === key ? !view.descending : AMOUNTS.includes(key) || key === 'grantsTargeted'
    view.key = key
    markSorted()
    find()
  }

  function markSorted() {
    for (const head of table.tHead.rows[0].cells) {
      const direction = view.descending ? 'descending' : 'ascending'
      if (head.dataset.key === view.key) head.setAttribute('aria-sort', direction)
      else head.removeAttribute('aria-sort')
    }
  }

  for (const head of table.tHead.rows[0].cells) {
    const button = element('button', { type: 'button' }, head.textContent.trim())
    button.addEventListener('click', () => sortBy(head.dataset.key))
    head.replaceChildren(button)
  }
  const present = [...new Set(users.map((user) => user.outcome))]
  outcome.append(new Option('All', ''), ...present.map((name) => new Option(outcomeOf(name).label, name)))
  search.addEventListener('input', () => { view.query = search.value; find() })
  outcome.addEventListener('change', () => { view.outcome = outcome.value; find() })
  more.addEventListener('click', () => {
    const first = view.rows
    showMore()
    body.querySelectorAll('button.user')[first]?.focus()
  })
  byId('tools').hidden = false
  byId('static').hidden = true
  markSorted()
  find()
})()
`
