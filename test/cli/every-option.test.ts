import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openSandbox, publish, type Sandbox } from '../../bin/sandbox/sandbox.ts'
import { screenOf } from './output.ts'
import { type Ended, hasTerminals, start, startOnTerminal } from './start.ts'
import { MARK, optionsLeftOut, STORY } from './story.ts'

const program = fileURLToPath(new URL('story.ts', import.meta.url))
const COLOURS = '\u001b[1m'
/** Every telling takes half a minute: `npm test` has the narrowest one, and the one in a pipe. */
const isFull = process.env.SOAK === 'full'

let cwd: string
let sandbox: Sandbox
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'credit-expiry-story-'))
  sandbox = await openSandbox(join(cwd, '.sandbox'))
  await publish(sandbox, join(cwd, '.sandbox'))
})
afterAll(async () => {
  await sandbox.stop()
  await rm(cwd, { recursive: true })
})

test('a story has every option', () => {
  expect(optionsLeftOut()).toEqual([])
})

/** What each command of the story printed on one output. */
function told(output: string): string[] {
  return output.split(new RegExp(`${MARK}\\d+\r?\n`)).slice(0, STORY.length)
}

function expectAsTold({ stdout, status: last }: Ended, texts: readonly string[]): void {
  const marks = [...stdout.matchAll(new RegExp(`${MARK}(\\d+)`, 'g'))].map(([, status]) => Number(status))
  const statuses = [...marks, last]
  for (const [place, { line, status, says }] of STORY.entries()) {
    const text = texts[place]?.replaceAll(/\s+/g, ' ')
    expect({ line, status: statuses[place], text }).toEqual({
      line,
      status,
      text: expect.stringMatching(says),
    })
  }
}

/** Paths, addresses and commands are for copying, and stay whole, as does any single word. */
const FOR_COPYING =
  /^ *\S+$|^ {2}(\.sandbox\/|See all: )|npm start|s3:\/\/|https:\/\/|report\.html$|^ +\S+\.jsonl$/

describe.skipIf(!hasTerminals)('on a terminal', () => {
  test.each(isFull ? [60, 80, 120] : [60])(
    'of %i columns no row of any command is wrapped',
    async (columns) => {
      const ended = await startOnTerminal([], { cwd, program, columns }).ended
      const texts = told(ended.stdout).map((text) => withoutStyles(screenOf(text)))
      expectAsTold(
        ended,
        texts.map((lines) => lines.join('\n')),
      )
      const tooLong = STORY.flatMap(({ line, forPrograms }, place) =>
        (forPrograms ? [] : (texts[place] ?? []))
          .filter((row) => row.length > columns && !FOR_COPYING.test(row))
          .map((row) => ({ line, row })),
      )
      expect(tooLong).toEqual([])
      expect(ended.stdout).toContain(COLOURS)
    },
  )

  test.runIf(isFull)('with NO_COLOR no command has colours', async () => {
    const { stdout } = await startOnTerminal([], { cwd, program, env: { NO_COLOR: '1' } }).ended
    expect(withoutStyles([stdout])).toEqual([stdout])
  })
})

test('in a pipe there are no escape codes, and what is for programs is alone on standard output', async () => {
  const ended = await start([], { cwd, program }).ended
  const { stdout, stderr } = ended
  expect(stdout + stderr).not.toContain('\u001b')
  const results = told(stdout)
  const rest = told(stderr)
  expectAsTold(
    ended,
    results.map((text, place) => text + rest[place]),
  )
  const json = results[STORY.findIndex(({ line }) => line.endsWith('--json'))] ?? ''
  expect(JSON.parse(json)).toMatchObject({ status: 'complete' })
})

function withoutStyles(lines: readonly string[]): string[] {
  // oxlint-disable-next-line no-control-regex -- escape sequences are what is looked for
  return lines.map((line) => line.replaceAll(/\u001b\[\d+m/g, ''))
}
