import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { AxeBuilder } from '@axe-core/playwright'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'

const USUAL_PATHS = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
]

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** Where Chromium is: CHROMIUM_PATH, else a usual place; null, with a message, where there is none. */
export function findChromium(): string | null {
  const { CHROMIUM_PATH } = process.env
  const found = [...(CHROMIUM_PATH ? [CHROMIUM_PATH] : []), ...USUAL_PATHS].find((path) => existsSync(path))
  if (found !== undefined) return found
  process.stderr.write(
    'No Chromium found, so the browser tests are skipped. Install it (Debian: apt-get install chromium), ' +
      'or set CHROMIUM_PATH to its executable.\n',
  )
  return null
}

/** A page that was opened, and everything that it complained about or asked for. */
export type Opened = { readonly page: Page; readonly complaints: string[]; readonly requests: string[] }

/** A browser that opens texts of HTML as files, or files themselves, as a reader would. */
export type TestBrowser = {
  readonly openFile: (path: string, options?: BrowserContextOptions) => Promise<Opened>
  readonly open: (html: string, options?: BrowserContextOptions) => Promise<Opened>
  readonly closePages: () => Promise<void>
  readonly close: () => Promise<void>
}

export async function startBrowser(executablePath: string): Promise<TestBrowser> {
  const browser = await chromium.launch({ executablePath, args: FLAGS })
  const dir = await mkdtemp(join(tmpdir(), 'credit-expiry-browser-'))
  let files = 0
  return {
    openFile: async (path, options = {}) => openUrl(browser, pathToFileURL(path).href, options),
    open: async (html, options = {}) => {
      files += 1
      const file = join(dir, `${files}.html`)
      await writeFile(file, html)
      return openUrl(browser, pathToFileURL(file).href, options)
    },
    closePages: async () => {
      for (const context of browser.contexts()) await context.close()
    },
    close: async () => {
      await browser.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

async function openUrl(browser: Browser, url: string, options: BrowserContextOptions): Promise<Opened> {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  const complaints: string[] = []
  const requests: string[] = []
  page.on('console', (message) => complaints.push(message.text()))
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('dialog', (dialog) => complaints.push(`dialog: ${dialog.message()}`))
  page.on('request', (request) => {
    if (request.url() !== url) requests.push(request.url())
  })
  await page.goto(url)
  return { page, complaints, requests }
}

/** What axe-core finds serious or critical on a page without frames, with the markup that it is about. */
export async function seriousFindings(page: Page): Promise<{ id: string; markup: string[] }[]> {
  // Legacy mode runs in the page itself: the other one opens a second page for the result.
  const { violations } = await new AxeBuilder({ page }).setLegacyMode().analyze()
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => ({ id, markup: nodes.map(({ html }) => html) }))
}
