import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { HOSTILE } from '../insight/report-hostile.ts'
import { findChromium, startBrowser, type TestBrowser } from '../support/servers/browser.ts'
import { freshBucket } from '../support/bucket.ts'
import { freshDatabase, insertTransaction, insertUser } from '../support/ledger.ts'
import { runHere } from './here.ts'
import { type Ended, ownPlace } from './start.ts'

const REASON = HOSTILE.join(' ')
const { url, sql, drop } = await freshDatabase()
let cwd: string

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'credit-expiry-runs-page-'))
  await insertUser(sql, { id: 'ada', total_microdollars_acquired: 10_000_000 })
  await insertTransaction(sql, { kilo_user_id: 'ada' })
})
afterAll(async () => {
  await drop()
  await rm(cwd, { recursive: true })
})

/** Without a bucket, the logs are files in .sandbox/. */
function run(args: string[], env: Record<string, string> = { DATABASE_URL: url }): Promise<Ended> {
  return runHere(args, { cwd, env })
}

test('in a bucket, the links lead to the reports in the AWS console', async () => {
  const bucket = await freshBucket()
  const env = ownPlace(url, bucket)
  await run([], env)
  const { status, stdout, stderr } = await run(['--runs', '--html'], env)
  expect({ status, stdout }).toEqual({ status: 0, stdout: `${join(cwd, 'credit-expiry-runs.html')}\n` })
  expect(stderr).toBe('A page of 1 run, 1 with a report:\n')
  expect(await readFile(stdout.trimEnd(), 'utf8')).toContain(
    '<a ' +
      `href="https://us-east-1.console.aws.amazon.com/s3/object/${bucket.bucket}?region=us-east-1&amp;prefix=runs/`,
  )
})

const chromiumPath = findChromium()

describe.skipIf(chromiumPath === null)('on this machine, in a browser', () => {
  let browser: TestBrowser
  beforeAll(async () => {
    browser = await startBrowser(chromiumPath ?? '')
  })
  afterAll(async () => browser.close())

  test('the links open the reports, and a hostile reason stays text', async () => {
    await run(['--reason', REASON])
    const { stdout } = await run(['--runs', '--html', 'all of them/runs.html'])
    const { page, complaints } = await browser.openFile(stdout.trimEnd())

    expect(await page.locator('main').innerText()).toContain(REASON)
    await page.click('tbody a')
    expect(await page.title()).toMatch(/^Dry run 20.+-dry-run-\w{4}$/)
    expect(await page.locator('h1').innerText()).toContain('$10.00 of free credit would expire')
    expect(complaints).toEqual([])
  })
})
