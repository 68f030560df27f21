import { createHash } from 'node:crypto'
import { inflateRawSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { dollars } from '../../lambda/exit-card.ts'
import { collectReport, MOST_USERS } from '../../lambda/insight/report/collect.ts'
import type { ReportCard, ReportInput, ReportUser, UserLogLine } from '../../lambda/insight/report/input.ts'
import { MOST_BYTES, renderReport } from '../../lambda/insight/report/report.ts'
import { OUTCOME_NAMES } from '../../lambda/insight/report/words.ts'
import { refusalWarning, warningsOf } from '../../lambda/run/lines/glossary.ts'
import { noTotals } from '../../lambda/run/lines/totals.ts'
import { hostileCard, hostileLines } from './report-hostile.ts'
import { read, RUN_ID, sampleCard, sampleLines } from './report-sample.ts'

const NEW_SINCE = {
  runId: 'dry-0',
  users: 1,
  grants: 17,
  expiredMicrodollars: 210_000_000,
  expired: '$210.00',
  skipped: {},
}

describe('what a report keeps of the log', () => {
  it('keeps every user of a small run, the largest amount first, and counts the lines', async () => {
    const lines = sampleLines(300)
    const input = await collect(lines)
    expect(input.usersLogged).toBe(300)
    expect(input.users.map(({ id }) => id).toSorted()).toEqual(lines.map((line) => line.user_id).toSorted())
    const moved = input.users.map(({ movedMicrodollars }) => movedMicrodollars)
    expect(moved).toEqual(moved.toSorted((a, b) => b - a))
  })

  it('keeps the largest users of a large run, wherever they are in the log', async () => {
    const [small, ...rest] = sampleLines(2)
    if (!small) throw new Error('no line')
    const amounts = Array.from({ length: MOST_USERS + 2_000 }, (_, index) => (index * 7_919) % 9_973)
    const lines = amounts.map((amount, index) => ({
      ...small,
      user_id: `user-${index}`,
      credits: [],
      expired_microdollars: amount,
    }))
    const input = await collect([...lines, ...rest])
    expect(input.users).toHaveLength(MOST_USERS)
    expect(input.usersLogged).toBe(MOST_USERS + 2_001)
    const largest = amounts.toSorted((a, b) => b - a).slice(0, MOST_USERS - 1)
    expect(input.users.slice(1).map(({ movedMicrodollars }) => movedMicrodollars)).toEqual(largest)
    expect(renderReport(input)).toContain(
      'The 5,000 users with the largest amounts, of 7,001 in the run. ' +
        'The users log has a line for each of the others.',
    )
  })

  it('adds up users and amounts by domain and by balance, to the microdollar', async () => {
    const lines = sampleLines(300)
    const { byDomain, byBalance } = await collect(lines)
    const moving = lines.filter((line) => line.expired_microdollars > 0)
    const total = sum(moving.map((line) => line.expired_microdollars))
    for (const shares of [byDomain, byBalance]) {
      expect(sum(shares.map((share) => share.movedMicrodollars))).toBe(total)
      expect(sum(shares.map((share) => share.users))).toBe(moving.length)
    }
    expect(byDomain.map(({ label }) => label)).toEqual(['kilo.ai', 'kilocode.ai'])
    const upTo10 = moving.filter((line) => between(line.balance_before_microdollars, 1, 10_000_000))
    expect(byBalance.find(({ label }) => label === 'Up to $10')?.users).toBe(upTo10.length)
  })

  it('shows what a rollback gives back as positive amounts, by the balance with the credit', async () => {
    const lines = sampleLines(40)
      .filter(({ outcome }) => outcome === 'expired')
      .map(asRollback)
    const card = sampleCard(lines, { mode: 'rollback', rollsBack: RUN_ID })
    const input = await collectReport(card, read(lines))
    const total = -sum(lines.map((line) => line.expired_microdollars))
    expect(sum(input.byBalance.map((share) => share.movedMicrodollars))).toBe(total)
    expect(input.byBalance.map(({ label }) => label)).not.toContain('$0')
    const page = renderReport(input)
    expect(textOf(page)).toMatch(/\$[\d,.]+ of free credit was restored for all \d+ users\./)
    expect(textOf(page)).not.toContain('-$')
  })

  it('names the rows because of which a user was skipped, with amounts in dollars', async () => {
    const [line] = sampleLines(1)
    if (!line) throw new Error('no line')
    const row = { id: 'row-1', credit_category: 'manual_decrement', amount_microdollars: -5_000_001 }
    const input = await collect([
      { ...line, outcome: 'needs_review', review: [row, ...Array.from({ length: 9 }, () => row)] },
      { ...line, outcome: 'changed_since', changed: ['amount_microdollars of row-2: expected 1, found 2'] },
    ])
    expect(input.skipped.map(({ outcome, users }) => [outcome, users[0]?.reasons.at(0)])).toEqual([
      ['needs_review', 'id: row-1, credit category: manual_decrement, amount: -$5.000001'],
      ['changed_since', 'amount_microdollars of row-2: expected 1, found 2'],
    ])
    expect(input.skipped[0]?.users[0]?.reasons.at(-1)).toBe('and 5 more in the users log')
  })

  it('shortens long texts, and shows invisible characters by their code', async () => {
    const { users } = await collect(hostileLines())
    const descriptions = users.flatMap(({ grants }) => grants.map(({ description }) => description))
    expect(Math.max(...descriptions.map((description) => description?.length ?? 0))).toBe(120)
    expect(descriptions).toContain('pay[U+202E]gnp.exe')
    expect(descriptions).toContain('one two three[U+0000][U+200B]')
  })

  it('fails with the error of a part that cannot be read', async () => {
    const lines = async function* broken() {
      yield* sampleLines(1)
      throw new Error('part 00000-0001 is missing')
    }
    await expect(collectReport(sampleCard([]), lines())).rejects.toThrow('part 00000-0001 is missing')
  })
})

describe('a rendered report', () => {
  it('says in one sentence what happened, and accounts for every other user', async () => {
    const page = renderReport(await collect(sampleLines(212)))
    const text = textOf(page)
    expect(text).toMatch(
      /^ *Execute run Complete with errors \$[\d,.]+ of free credit expired for 16\d of 212 users\. 1\d users had spent every/,
    )
    expect(text).toContain('requested by Maria Lindqvist: quarterly clean-up of team credits')
    expect(page.includes('class="banner"')).toBe(false)
  })

  it('adds up the categories to what the run expired', async () => {
    const lines = sampleLines(212)
    const total = dollars(sum(lines.map((line) => line.expired_microdollars)))
    const text = textOf(renderReport(await collect(lines)))
    expect(text).toMatch(
      new RegExp(`All categories [\\d,]+ \\$[\\d,.]+ ${total.replaceAll(/[$.]/g, '\\$&')} `),
    )
    expect(textOf(renderReport(await collect([])))).not.toContain('All categories')
  })

  it('says on top of a dry run and of a rollback preview that nothing was written', async () => {
    const lines = sampleLines(30)
    for (const mode of ['dry-run', 'rollback-dry-run']) {
      const page = renderReport(await collectReport(sampleCard(lines, { mode }), read(lines)))
      expect(page.indexOf('Nothing was written.')).toBeGreaterThan(page.indexOf('<main>'))
      expect(page.indexOf('Nothing was written.')).toBeLessThan(page.indexOf('<h1>'))
      expect(textOf(page)).toMatch(/of free credit would (expire|be restored) for/)
    }
  })

  it.each([
    [
      'the runs that rolled it back',
      { rolledBackBy: ['rollback-1', 'rollback-2'], usersRolledBack: 2 },
      'by rollback-1, rollback-2',
    ],
    ['the run that it rolls back', { rollsBack: 'execute-1' }, 'Rolls back execute-1'],
    ['its plan', {}, 'Plan 2026-11-21T16-40-02-001Z-dry-run-p7qa the dry run that was approved'],
    ['the version that made it', {}, 'Software version 1.2.3'],
    ['why it stopped', { status: 'stopped', why: '21 users failed' }, 'Stopped. Reason: 21 users failed.'],
    ['that nothing is left to do', { next: null }, 'Nothing needs to be done.'],
    ['the next payload', {}, `{ "rollback": "${RUN_ID}" }`],
    [
      'what is new',
      { sincePrevious: NEW_SINCE },
      '1 user, 17 grants and $210.00 since the latest dry run of the same selection, dry-0',
    ],
  ] satisfies [string, Partial<ReportCard>, string][])('shows %s', async (_, changes, wanted) => {
    const lines = sampleLines(10)
    expect(textOf(renderReport(await collectReport(sampleCard(lines, changes), read(lines))))).toContain(
      wanted,
    )
  })

  it('lists failures with their cause', async () => {
    const lines = sampleLines(60)
    const errors = [
      { user_id: 'u-58', stage: 'apply', error: 'LockTimeout', message: 'the row stayed locked' },
    ]
    const page = renderReport(await collectReport(sampleCard(lines), read(lines), errors))
    expect(textOf(page)).toContain('u-58 while it was in stage apply LockTimeout: the row stayed locked')
  })

  it('aligns amounts on the point: all cells of a column have as many digits after it', async () => {
    const page = renderReport(await collect(sampleLines(120)))
    const cells = [...page.matchAll(/data-label="Expired" data-pad="(0*)">(.*?)<\/td>/g)]
    expect(cells.length).toBeGreaterThan(50)
    const digits = cells.map(([, pad = '', cell = '']) => pad + cell.replace(/<[^>]*>/g, '').split('.')[1])
    expect(new Set(digits.map(({ length }) => length))).toEqual(new Set([6]))
  })

  it('allows its own style and script by their hashes, and nothing else', async () => {
    const page = renderReport(await collect(sampleLines(10)))
    const policy = /Content-Security-Policy" content="([^"]*)"/.exec(page)?.[1]?.replaceAll('&#39;', "'")
    const hashOf = (tag: string) => {
      const text = new RegExp(`<${tag}>([^]*?)</${tag}>`).exec(page)?.[1] ?? ''
      return `'sha256-${createHash('sha256').update(text).digest('base64')}'`
    }
    expect(policy?.split('; ')).toEqual([
      "default-src 'none'",
      'img-src data:',
      `style-src ${hashOf('style')}`,
      `script-src ${hashOf('script')}`,
      "base-uri 'none'",
      "form-action 'none'",
    ])
  })

  it('escapes every text of card and log', async () => {
    const lines = hostileLines()
    const errors = [{ user_id: '<u>', stage: '<u>', error: '<u>', message: '<u>' }]
    const page = renderReport(await collectReport(hostileCard(lines), read(lines), errors))
    const clean = renderReport(await collectReport(sampleCard(lines), read([])))
    expect(page.match(/<script/g)).toHaveLength(2)
    expect(/<u>|<img|href="javascript/.exec(page)).toBeNull()
    expect(clean.match(/<script/g)).toHaveLength(2)
  })

  it('stays under 2 MB with 5,000 users of many grants, each with a long text of its own', async () => {
    const credits = sampleLines(1)[0]?.credits ?? []
    const lines = sampleLines(5_000).map((line, user) => ({
      ...line,
      credits: Array.from({ length: 8 }, (_, n) => ({
        ...(credits[0] ?? line.credits[0]),
        description: unlike(user * 8 + n),
      })),
    })) as UserLogLine[]
    const page = renderReport(await collect(lines))
    expect(Buffer.byteLength(page)).toBeLessThan(MOST_BYTES)
    expect(page).toContain('All 5,000 users of the run')
    const users = packedUsers(page)
    expect(users).toHaveLength(5_000)
    expect(users.every((user) => user.grants.length + user.grantsOmitted === 8)).toBe(true)
    expect(users[0]?.grantsOmitted).toBeGreaterThan(0)
  })

  it('is the same text for the same input', async () => {
    const input = await collect(sampleLines(50))
    expect(renderReport(input)).toBe(renderReport(input))
  })
})

describe('the words of a report', () => {
  it('has words for every outcome of the users log', () => {
    const contract =
      'expired nothing_to_expire no_targeted_grant excluded too_recent needs_review exceeds_plan ' +
      'not_internal gone failed not_reached rolled_back already_rolled_back changed_since'
    expect(OUTCOME_NAMES.toSorted()).toEqual(contract.split(' ').toSorted())
  })

  it('explains the warnings of a card, and leaves one that it does not know as it is', async () => {
    const totals = {
      ...noTotals(),
      flags: { auto_top_up_risk: 3, overdrawn_before: 1 },
      outcomes: { failed: 1 },
    }
    const known = [refusalWarning('400 users are above the limit of 300'), ...warningsOf(totals)]
    const texts = [...known.map(({ text }) => text), 'the moon is full']
    const input = await collectReport(sampleCard([], { warnings: texts }), read([]), [], known)
    expect(input.warnings).toEqual([...known, { text: 'the moon is full', explanation: null }])
    const text = textOf(renderReport(input))
    for (const wanted of [
      'An execute would be refused: 400 users are above the limit of 300. A dry run is never refused',
      '3 users may be charged by auto top-up: balance under $5.00 after this run. Auto top-up is enabled',
      '1 user had a negative balance before. The balance was below zero before the run. The correction brings',
      '1 user failed: see the errors log. The user could not be processed; nothing was written for the user.',
      'The moon is full.',
    ])
      expect(text).toContain(wanted)
  })
})

function collect(lines: readonly UserLogLine[]): Promise<ReportInput> {
  return collectReport(sampleCard(lines), read(lines))
}

function asRollback(line: UserLogLine): UserLogLine {
  return {
    ...line,
    outcome: 'rolled_back',
    balance_before_microdollars: line.final_balance_microdollars,
    final_balance_microdollars: line.balance_before_microdollars,
    expired_microdollars: -line.expired_microdollars,
    due_paid_microdollars: -line.due_paid_microdollars,
    correction_microdollars: -line.correction_microdollars,
    credits: line.credits.map((credit) => ({
      ...credit,
      expired_microdollars: credit.expired_microdollars === null ? null : -credit.expired_microdollars,
    })),
  }
}

/** The users that the script of the page reads. */
function packedUsers(page: string): ReportUser[] {
  const data = /id="data">([^<]*)</.exec(page)?.[1] ?? ''
  return (JSON.parse(inflateRawSync(Buffer.from(data, 'base64')).toString()) as ReportInput).users.slice()
}

/** A text that compresses badly. */
function unlike(seed: number): string {
  return createHash('sha512').update(String(seed)).digest('base64')
}

function between(value: number | null, from: number, to: number): boolean {
  return value !== null && value >= from && value <= to
}

/** What a reader sees of the page's own markup, spaces joined. */
function textOf(page: string): string {
  const main = /<main>[^]*<\/main>/.exec(page)?.[0] ?? ''
  const text = main
    .replace(/<script[^]*?<\/script>/g, '')
    .replace(/<\/?(?:span|bdi|strong|code)[^>]*>/g, '')
    .replace(/<[^>]*>/g, ' ')
  return text.replaceAll('&quot;', '"').replace(/\s+/g, ' ')
}

function sum(amounts: readonly number[]): number {
  return amounts.reduce((total, amount) => total + amount, 0)
}
