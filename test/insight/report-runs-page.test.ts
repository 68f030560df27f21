import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { renderRunsPage, type RunEntry, type RunSummary } from '../../lambda/insight/report/runs-page.ts'
import { findChromium, seriousFindings, startBrowser, type TestBrowser } from '../support/servers/browser.ts'
import { HOSTILE } from './report-hostile.ts'

const SUMMARY: RunSummary = {
  mode: 'execute',
  instant: '2026-11-22T06:12:30.123Z',
  status: 'complete',
  by: 'Maria Lindqvist',
  reason: 'quarterly clean-up',
  usersProcessed: 178,
  usersMatched: 212,
  expiredMicrodollars: 4_812_000_000,
  rolledBackBy: [],
  usersRolledBack: 0,
  rollsBack: null,
  plan: null,
}

function entry(runId: string, summary: Partial<RunSummary> = {}, report: string | null = null): RunEntry {
  return { runId, report, summary: { ...SUMMARY, ...summary }, problem: null }
}

const RUNS: RunEntry[] = [
  entry('2026-10-01-dry-run-a', { mode: 'dry-run' }, 'runs/2026-10-01-dry-run-a/report.html'),
  entry('2026-11-01-execute-b', {
    rolledBackBy: ['2026-11-02-rollback-c'],
    usersRolledBack: 1,
    plan: '2026-10-01-dry-run-a',
  }),
  entry('2026-11-02-rollback-c', {
    mode: 'rollback',
    rollsBack: '2026-11-01-execute-b',
    expiredMicrodollars: -4_812_000_001,
  }),
  { runId: '2026-09-01-execute-d', report: null, summary: null, problem: 'runs/…/summary.json is missing' },
]

describe('the page of all runs', () => {
  it('lists the newest run first, and counts runs by what they did', () => {
    const page = renderRunsPage(RUNS)
    const ids = [...page.matchAll(/<span class="description"><code>([^<]*)/g)].map(([, id]) => id)
    expect(ids).toEqual(['2026-11-02-rollback-c', '2026-11-01-execute-b', '2026-10-01-dry-run-a'])
    expect(page.replace(/\s+/g, ' ')).toContain(
      '4 runs: 1 execute run, of which 1 rolled back wholly or in part, 1 rollback and 1 preview.',
    )
    expect(page).toContain('1 user rolled back by <code>2026-11-02-rollback-c</code>')
    expect(page).toContain('runs/…/summary.json is missing')
  })

  it.each([
    ['runs/a/report.html', true],
    ['../runs/a/report.html', true],
    ['https://example.com/a?b=c', true],
    ['javascript:alert(1)', false],
    ['java\tscript:alert(1)', false],
    ['//example.com/a', false],
    ['\\\\example.com\\a', false],
    ['data:text/html,a', false],
  ])('links a report at %j: %s', (report, linked) => {
    expect(renderRunsPage([entry('a', {}, report)]).includes('<a href=')).toBe(linked)
  })
})

const chromiumPath = findChromium()

describe.skipIf(chromiumPath === null)('the page of all runs in a browser', () => {
  let browser: TestBrowser
  beforeAll(async () => {
    browser = await startBrowser(chromiumPath ?? '')
  })
  afterEach(() => browser.closePages())
  afterAll(() => browser.close())

  it('shows hostile text as text, fits 375 pixels, and has nothing serious for axe-core', async () => {
    const hostile = HOSTILE.map((text, index) =>
      entry(`${index} ${text}`, { by: text, reason: text, status: text }),
    )
    const runs = [
      ...RUNS,
      ...hostile,
      { runId: 'x', report: null, summary: null, problem: HOSTILE.join(' ') },
    ]
    const viewport = { width: 375, height: 800 }
    const { page, complaints, requests } = await browser.open(renderRunsPage(runs), { viewport })

    const text = await page.locator('main').innerText()
    expect(HOSTILE.filter((wanted) => !text.includes(wanted))).toEqual([])
    expect(await page.locator('script, main img, main style').count()).toBe(0)
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(375)
    expect({ complaints, requests }).toEqual({ complaints: [], requests: [] })

    expect(await seriousFindings(page)).toEqual([])
  })
})
