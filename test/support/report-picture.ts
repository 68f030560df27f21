import { readFile } from 'node:fs/promises'
import { findChromium, startBrowser } from './servers/browser.ts'

/**
 * Makes docs/report.png, the picture of the README: `npx node test/support/report-picture.ts <report.html>`,
 * with the report of the first dry run of a new sandbox.
 */
const [report = 'report.html'] = process.argv.slice(2)
const path = findChromium()
if (path === null) throw new Error('No picture was made.')
const browser = await startBrowser(path)
const { page } = await browser.open(await readFile(report, 'utf8'), {
  viewport: { width: 960, height: 780 },
  deviceScaleFactor: 1.25,
  colorScheme: 'light',
})
await page.screenshot({ path: new URL('../../docs/report.png', import.meta.url).pathname })
await browser.close()
