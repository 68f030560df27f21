import { beforeEach, expect, test } from 'vitest'
import { progressOn } from '../../bin/cli/progress.ts'
import { cardAt } from './cards.ts'

let written: string
let now: number
beforeEach(() => {
  written = ''
  now = Date.parse('2026-11-22T06:12:30.000Z')
})

function progressTo(isTTY: boolean, columns = 120) {
  const err = { isTTY, columns, write: (text: string) => void (written += text) }
  return progressOn({ err, now: () => now })
}

/** What a terminal shows after all that was written to it: `\r` and erase-line begin the last line anew. */
function screen(): string[] {
  return written.split('\n').map((line) => line.split('\r\u001b[K').at(-1) ?? '')
}

test('on a terminal one bar is drawn over and over, with rate, time left and dollars', () => {
  const progress = progressTo(true)
  progress.begin('Execute')
  expect(screen()).toEqual(['Execute …'])
  now += 2_000
  progress.show(cardAt(1_000, 4_000))
  expect(screen()).toEqual([
    'Execute [##########------------------------------] 1,000/4,000 users, 500/s, 0:06 left, $1,314.51526 expired',
  ])
  now += 2_000
  progress.show(cardAt(4_000, 4_000))
  expect(screen()).toEqual([
    'Execute [########################################] 4,000/4,000 users, 1,000/s, $1,314.51526 expired',
  ])
  progress.end()
  expect(screen()).toEqual([''])
})

test('a message takes a line of its own above the bar', () => {
  const progress = progressTo(true)
  progress.begin('Execute')
  now += 1_000
  progress.show(cardAt(1_000, 4_000))
  progress.say('Stopping')
  expect(screen()).toEqual(['Stopping', expect.stringContaining('Execute [#####')])
})

test('a narrow terminal gets the facts without a bar, cut to its width', () => {
  const progress = progressTo(true, 40)
  progress.begin('Execute')
  now += 1_000
  progress.show(cardAt(1_000, 4_000))
  expect(screen()).toEqual(['Execute 1,000/4,000 users, 1,000/s, 0:0'])
})

test('the bar is drawn ten times a second at most, and for the last page in any case', () => {
  const progress = progressTo(true)
  progress.begin('Execute')
  for (let done = 1; done <= 100; done++) {
    now += 10
    progress.show(cardAt(done, 100))
  }
  expect(written.split('\r').length - 1).toBeLessThan(15)
  expect(screen()[0]).toContain('100/100 users')
})

test('elsewhere there are plain lines, one in five seconds, and one at the end', () => {
  const progress = progressTo(false)
  progress.begin('Dry run')
  for (let done = 1_000; done <= 12_000; done += 1_000) {
    now += 1_000
    progress.show(cardAt(done, 12_000, { mode: 'dry-run' }))
  }
  progress.end()
  expect(written).not.toContain('\r')
  expect(written.trimEnd().split('\n')).toEqual([
    'Dry run …',
    'Dry run: 1,000/12,000 users, 1,000/s, 0:11 left, $1,314.51526 would expire',
    'Dry run: 6,000/12,000 users, 1,000/s, 0:06 left, $1,314.51526 would expire',
    'Dry run: 11,000/12,000 users, 1,000/s, 0:01 left, $1,314.51526 would expire',
    'Dry run: 12,000/12,000 users, 1,000/s, $1,314.51526 would expire',
  ])
})

test('what earlier invocations did is no part of the rate of a run that is gone on with', () => {
  now += 3_600_000
  const progress = progressTo(false)
  progress.begin('Going on')
  progress.show(cardAt(90_000, 100_000))
  now += 10_000
  progress.show(cardAt(95_000, 100_000))
  expect(written).toContain('95,000/100,000 users, 500/s, 0:10 left')
})

test('a run without users', () => {
  const progress = progressTo(true)
  progress.begin('Dry run')
  progress.show(cardAt(0, 0))
  expect(screen()[0]).toContain('0/0 users, 0/s')
})
