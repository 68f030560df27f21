import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { collectReport } from '../../lambda/insight/report/collect.ts'
import type { ReportCard, UserLogLine } from '../../lambda/insight/report/input.ts'
import { MOST_BYTES, renderReport } from '../../lambda/insight/report/report.ts'
import {
  findChromium,
  type Opened,
  seriousFindings,
  startBrowser,
  type TestBrowser,
} from '../support/servers/browser.ts'
import { HOSTILE, hostileCard, hostileLines } from './report-hostile.ts'
import { read, sampleCard, sampleLines } from './report-sample.ts'

const chromiumPath = findChromium()

describe.skipIf(chromiumPath === null)('a report in a browser', () => {
  let browser: TestBrowser
  beforeAll(async () => {
    browser = await startBrowser(chromiumPath ?? '')
  })
  afterEach(() => browser.closePages())
  afterAll(() => browser.close())

  it('opens without an error and makes no request', async () => {
    const { page, complaints, requests } = await openSample(browser)

    await expectRows(page, 100)
    expect(await text(page, '#matches')).toMatch(/^212 users, expired: \$[\d,.]+$/)
    expect({ complaints, requests }).toEqual({ complaints: [], requests: [] })
  })

  it('finds users by e-mail, id, outcome and category, and adds up what expired', async () => {
    const lines = sampleLines(212)
    const { page } = await openSample(browser, { lines })
    const wanted = lines.filter(({ email }) => email?.includes('okafor') && email.includes('kilocode'))

    await page.fill('#search', '  OKAFOR kilocode.ai ')
    await expectRows(page, wanted.length)
    expect(await text(page, '#matches')).toContain(`${wanted.length} of 212 users`)

    await page.fill('#search', lines[7]?.user_id ?? '')
    await expectRows(page, 1)
    await page.fill('#search', 'nobody at all')
    await expectRows(page, 0)
    expect(await text(page, '#matches')).toBe('0 of 212 users, expired: $0.00')

    await page.fill('#search', '')
    await page.selectOption('#outcome', { label: 'Needs review' })
    await expectRows(page, lines.filter(({ outcome }) => outcome === 'needs_review').length)
  })

  it('sorts by amount and by name, in both directions, and says so', async () => {
    const lines = sampleLines(80)
    const { page } = await openSample(browser, { lines })
    const expired = lines.map((line) => line.expired_microdollars).toSorted((a, b) => b - a)

    expect(await amounts(page, 5)).toEqual(expired)
    await page.click('th[data-key="movedMicrodollars"] button')
    expect(await amounts(page, 5)).toEqual(expired.toReversed())
    expect(await page.getAttribute('th[data-key="movedMicrodollars"]', 'aria-sort')).toBe('ascending')

    await page.click('th[data-key="user"] button')
    const names = await page.locator('button.user').allTextContents()
    expect(names).toEqual(names.toSorted())
    expect(await page.locator('[aria-sort]').count()).toBe(1)
  })

  it('puts users without a balance last in both directions', async () => {
    const lines = sampleLines(212)
    const { page } = await openSample(browser, { lines })
    await page.fill('#search', lines[111]?.user_id.slice(0, 20) ?? '')
    await page.fill('#search', 'o')
    for (const direction of ['descending', 'ascending']) {
      await page.click('th[data-key="beforeMicrodollars"] button')
      expect(await page.getAttribute('th[data-key="beforeMicrodollars"]', 'aria-sort')).toBe(direction)
      while (await page.isVisible('#more')) await page.click('#more')
      expect(await page.locator('button.user').last().textContent()).toBe(lines[111]?.user_id)
    }
  })

  it('works with the keyboard alone: search, sort, open and close a user, show more', async () => {
    const { page } = await openSample(browser)

    await tabTo(page, '#search')
    await page.keyboard.type('hackathon')
    await tabTo(page, 'th[data-key="user"] button')
    await page.keyboard.press('Enter')
    expect(await page.getAttribute('th[data-key="user"]', 'aria-sort')).toBe('ascending')

    await tabTo(page, 'button.user')
    await page.keyboard.press('Space')
    const button = page.locator('button.user').first()
    expect(await button.getAttribute('aria-expanded')).toBe('true')
    const details = page.locator(`#${await button.getAttribute('aria-controls')}`)
    expect(await details.locator('table.grants tbody tr').count()).toBeGreaterThan(0)
    await page.keyboard.press('Enter')
    expect(await details.count()).toBe(0)

    await page.fill('#search', '')
    await tabTo(page, '#more')
    await page.keyboard.press('Enter')
    await expectRows(page, 200)
    expect(
      await page.evaluate('[...document.querySelectorAll("button.user")].indexOf(document.activeElement)'),
    ).toBe(100)
  })

  it('shows hostile text as text', async () => {
    const lines = hostileLines()
    const { page, complaints, requests } = await openSample(browser, { lines, card: hostileCard(lines) })
    for (const button of await page.locator('button.user').all()) await button.click()

    const shown = await text(page, 'main')
    const wanted = [...HOSTILE, 'pay[U+202E]gnp.exe', 'one two three[U+0000][U+200B]']
    expect(wanted.filter((hostile) => !shown.includes(hostile))).toEqual([])
    expect(/[\u202E\u2028\u2029\u200B]/.test(shown)).toBe(false)
    expect(shown.includes('x'.repeat(500))).toBe(false)
    expect(await page.evaluate('window.hacked')).toBeUndefined()
    expect(
      await page.locator('main img, main style, main [onmouseover], a[href^="javascript"]').count(),
    ).toBe(0)
    expect(await page.locator('script').count()).toBe(2)
    expect({ complaints, requests }).toEqual({ complaints: [], requests: [] })
  })

  it.each([375, 768, 1280])('fits %i pixels without scrolling sideways, users opened', async (width) => {
    const viewport = { width, height: 800 }
    const lines = hostileLines()
    const opened = [
      await openSample(browser, { viewport, lines: sampleLines(20) }),
      await openSample(browser, { viewport, lines, card: hostileCard(lines) }),
    ]
    for (const { page } of opened) {
      for (const button of (await page.locator('button.user').all()).slice(0, 10)) await button.click()
      const right = `Math.max(...[...document.querySelectorAll('main, main *')]
        .map((element) => element.getBoundingClientRect().right))`
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width)
      expect(await page.evaluate(right)).toBeLessThanOrEqual(width)
    }
  })

  it.each([
    { colorScheme: 'light', width: 1280 },
    { colorScheme: 'dark', width: 375 },
  ] as const)('has nothing serious for axe-core in $colorScheme mode, $width pixels wide', async (look) => {
    const viewport = { width: look.width, height: 900 }
    // Few users: axe-core looks at every cell. The first 20 have outcomes of every colour.
    const lines = sampleLines(20)
    const { page } = await openSample(browser, { colorScheme: look.colorScheme, viewport, lines })
    await page.locator('button.user').first().click()
    expect(await seriousFindings(page)).toEqual([])
  })

  it('is dark where the reader prefers it, and light on paper all the same', async () => {
    const { page } = await openSample(browser, { colorScheme: 'dark' })
    const background = () => page.evaluate('getComputedStyle(document.body).backgroundColor')
    expect(await background()).toBe('rgb(21, 25, 30)')
    await page.emulateMedia({ media: 'print', colorScheme: 'dark' })
    expect(await background()).toBe('rgb(255, 255, 255)')
  })

  it('prints on several pages, without what only a screen can use', async () => {
    const { page } = await openSample(browser)
    const pdf = (await page.pdf({ format: 'A4' })).toString('latin1')
    expect(pdf.match(/\/Type \/Page\b/g)?.length).toBeGreaterThan(2)
    await page.emulateMedia({ media: 'print' })
    expect(await page.locator('#users thead button:visible').count()).toBe(0)
    expect(await page.isVisible('#tools')).toBe(false)
    expect(await page.isVisible('#more')).toBe(false)
  })

  it('shows the summary and the largest users without JavaScript', async () => {
    const { page } = await openSample(browser, { javaScriptEnabled: false })
    expect(await text(page, 'h1')).toMatch(/^\$[\d,.]+ of free credit expired for 165 of 212 users\.$/)
    expect(await page.locator('#users tbody tr').count()).toBe(50)
    expect(await page.isVisible('#tools')).toBe(false)
    expect(await page.isVisible('#static')).toBe(true)
  })

  it('holds 5,000 users with their grants in 2 MB, and a search draws only a hundred rows', async () => {
    const lines = sampleLines(5_000)
    const html = await reportOf(lines)
    expect(Buffer.byteLength(html)).toBeLessThan(MOST_BYTES)

    const { page } = await browser.open(html)
    await page.waitForSelector('#tools:not([hidden])')
    await page.evaluate(COUNT_ROWS_DRAWN)
    await page.fill('#search', 'kilo.ai')
    expect(await text(page, '#matches')).toMatch(/^3,\d{3} of 5,000 users/)
    expect(await page.evaluate('window.rowsDrawn')).toBe(100)

    await page.fill('#search', lines[4_321]?.email ?? '')
    await page.locator('button.user').click()
    const grants = lines[4_321]?.credits.length
    expect(await page.locator('table.grants tbody tr').count()).toBe(grants)
    expect(grants).toBeGreaterThan(0)
  })
})

/** Counts the rows of users that are put into the table from here on. */
const COUNT_ROWS_DRAWN = `
  window.rowsDrawn = 0
  new MutationObserver((changes) => {
    for (const change of changes) window.rowsDrawn += change.addedNodes.length
  }).observe(document.querySelector('#users tbody'), { childList: true })
`

type Sample = Parameters<TestBrowser['open']>[1] & { lines?: UserLogLine[]; card?: ReportCard }

async function openSample(browser: TestBrowser, sample: Sample = {}): Promise<Opened> {
  const { lines = sampleLines(212), card, ...options } = sample
  const opened = await browser.open(await reportOf(lines, card), options)
  if (options.javaScriptEnabled !== false) await opened.page.waitForSelector('#tools:not([hidden])')
  return opened
}

async function reportOf(lines: readonly UserLogLine[], card = sampleCard(lines)): Promise<string> {
  return renderReport(await collectReport(card, read(lines)))
}

async function text(page: Page, selector: string): Promise<string> {
  return (await page.locator(selector).innerText()).replaceAll(/\s+/g, ' ').trim()
}

async function expectRows(page: Page, count: number): Promise<void> {
  expect(await page.locator('button.user').count()).toBe(count)
}

/** The amounts of a column of the users table, in microdollars. */
async function amounts(page: Page, column: number): Promise<number[]> {
  const cells = await page.locator(`#users > tbody > tr > :nth-child(${column})`).allTextContents()
  return cells.map((cell) => Math.round(Number(cell.replaceAll(/[$,]/g, '')) * 1_000_000))
}

async function tabTo(page: Page, selector: string): Promise<void> {
  const isThere = () => page.evaluate(`document.activeElement.matches(${JSON.stringify(selector)})`)
  for (let tabs = 0; tabs < 300 && !(await isThere()); tabs += 1) await page.keyboard.press('Tab')
  expect(await isThere()).toBe(true)
}
