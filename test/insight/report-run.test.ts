import { HeadObjectCommand } from '@aws-sdk/client-s3'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { S3Request } from '../../bin/sandbox/s3.ts'
import type { ExitCard } from '../../lambda/exit-card.ts'
import { findChromium, startBrowser } from '../support/servers/browser.ts'
import { keys, readText } from '../support/bucket.ts'
import { type InvocationOptions, invokeJob } from '../support/job.ts'
import { timeForPages } from '../support/stops.ts'
import { freshTeam, type Team } from '../support/places/team.ts'

const chromiumPath = findChromium()

let team: Team
beforeEach(async () => {
  team = await freshTeam(3)
})
afterEach(() => team.drop())

const invoke = (
  event: object,
  options?: InvocationOptions,
  env?: Record<string, string>,
): Promise<ExitCard> =>
  invokeJob({ databaseUrl: team.url, bucket: team.bucket, ...(env && { env }) }, event, options)
const reportOf = (runId: string) => readText(team.bucket, `runs/${runId}/report.html`)
const reports = async () => (await keys(team.bucket)).filter((key) => key.endsWith('/report.html'))
const storedAt = async (runId: string) => {
  const { client, bucket } = team.bucket
  return client.send(new HeadObjectCommand({ Bucket: bucket, Key: `runs/${runId}/report.html` }))
}

test('a run that was closed has its report, as HTML in UTF-8, from all of its pages', async () => {
  const card = await invoke({ execute: true, batchSize: 1, reason: 'quarterly clean-up' })
  const html = await reportOf(card.runId)
  expect(html).toContain('Execute run')
  expect(html).toContain('All 3 users of the run')
  for (const user of ['user-1', 'user-2', 'user-3']) expect(html).toContain(`${user}@kilo.ai`)
  expect(html).toContain('quarterly clean-up')
  expect(await storedAt(card.runId)).toMatchObject({ ContentType: 'text/html; charset=utf-8' })
  expect(card.logs.report).toBe(`s3://${team.bucket.bucket}/runs/${card.runId}/report.html`)
})

test.skipIf(chromiumPath === null)('the stored report opens in a browser and shows its users', async () => {
  const card = await invoke({})
  const browser = await startBrowser(chromiumPath ?? '')
  try {
    const { page, complaints, requests } = await browser.open(await reportOf(card.runId))
    expect(await page.locator('button.user').allTextContents()).toEqual(
      expect.arrayContaining(['user-1@kilo.ai', 'user-2@kilo.ai', 'user-3@kilo.ai']),
    )
    expect(await page.textContent('.banner')).toContain('Nothing was written.')
    expect({ complaints, requests }).toEqual({ complaints: [], requests: [] })
  } finally {
    await browser.close()
  }
})

test('explains the warnings of the card', async () => {
  await team.sql`update kilocode_users set auto_top_up_enabled = true where id = 'user-1'`
  const card = await invoke({}, {}, { LIMIT_USERS: '2' })
  const html = await reportOf(card.runId)
  expect(card.warnings).toHaveLength(2)
  expect(html).toContain('A dry run is never refused')
  expect(html).toContain('Auto top-up is enabled and the final balance is under $5.00.')
})

test('a rollback makes the report of the run that it rolled back again, which then says so', async () => {
  const executed = await invoke({ execute: true })
  await invoke({ rollback: executed.runId, execute: true, userIds: ['user-1'] })
  expect(await reportOf(executed.runId)).toMatch(/This run was rolled back<\/strong>\s+for 1 of \d+ users/)
  await invoke({ rollback: executed.runId, execute: true })
  expect(await reportOf(executed.runId)).toMatch(/This run was rolled back<\/strong>\s+wholly/)
})

test('made again with the rights of the preview function, which puts nothing else', async () => {
  const executed = await invoke({ execute: true })
  const before = await reportOf(executed.runId)
  const puts: S3Request[] = []
  team.s3.setHooks(team.bucket.bucket, {
    before: (request) => void (request.method === 'GET' || puts.push(request)),
  })
  const answer = await invoke({ report: executed.runId }, {}, { ALLOW_WRITES: 'false' })
  const key = `runs/${executed.runId}/report.html`
  expect(answer).toEqual({
    answer: 'report',
    result: 'made',
    run: executed.runId,
    report: `s3://${team.bucket.bucket}/${key}`,
    console: `https://us-east-1.console.aws.amazon.com/s3/object/${team.bucket.bucket}?region=us-east-1&prefix=${key}`,
    next: executed.next,
  })
  expect(await reportOf(executed.runId)).toBe(before)
  expect(new Set(puts.map((put) => `${put.method} ${put.key}`))).toEqual(new Set([`PUT ${key}`]))
})

test('a run whose report fails is closed and freed all the same; the log says how to make the report', async () => {
  const logged: (readonly [string, object])[] = []
  team.s3.setHooks(team.bucket.bucket, {
    before: ({ method, key }) =>
      method === 'PUT' && key.endsWith('report.html') ? { status: 403, code: 'AccessDenied' } : undefined,
  })
  const card = await invoke(
    { execute: true },
    { host: { log: (message, details) => void logged.push([message, details]) } },
  )
  expect(card.status).toBe('complete')
  expect(logged).toContainEqual([
    `no report was made. {"report": "${card.runId}"} makes it`,
    { runId: card.runId, cause: expect.stringMatching(/^ArchiveUnavailable: Could not write runs\//) },
  ])
  team.s3.setHooks(team.bucket.bucket, undefined)
  expect(await reports()).toEqual([])
  expect(await invoke({ execute: true })).toMatchObject({ status: 'complete' })
})

test('with less than 20 s left a run is closed without a report', async () => {
  let pageDone = false
  const card = await invoke(
    {},
    { timeLeft: () => (pageDone ? 19_999 : 900_000), host: { onProgress: () => void (pageDone = true) } },
  )
  expect(card.status).toBe('complete')
  expect(await reports()).toEqual([])
})

test('an open run has no report yet: the answer says how to close it', async () => {
  const card = await invoke({ execute: true, batchSize: 1, concurrency: 1 }, timeForPages(1))
  expect(card.status).toBe('incomplete')
  await expect(invoke({ report: 'latest' })).rejects.toMatchObject({
    name: 'RunRefused',
    message: expect.stringContaining(
      `The report of run ${card.runId} was not made: the run is not closed. Finish it with ` +
        `{"resume": "${card.runId}"}`,
    ),
  })
})
