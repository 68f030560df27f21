import { beforeEach, describe, expect, test } from 'vitest'
import { barText, progressOn, waitingText } from '../../../bin/cli/invoke/progress.ts'
import { cardAt } from '../cards.ts'
import { testOutput } from '../output.ts'

let now: number
beforeEach(() => {
  now = Date.parse('2026-11-22T06:12:30.000Z')
})

function progressTo(isTTY: boolean) {
  const err = testOutput({ isTTY, columns: isTTY ? 120 : Infinity })
  return { err, progress: progressOn({ err, now: () => now }) }
}

const FACTS = { label: 'Execute', done: 1_000, total: 4_000, perSecond: 500, amount: '$1,314.51526 expired' }

describe('one line, which names what Ctrl-C does', () => {
  test.each<[number, string]>([
    [130, '1,000/4,000 users, 0:06 left, $1,314.51526 expired, 500/s, Ctrl-C stops'],
    [90, '1,000/4,000 users, 0:06 left, $1,314.51526 expired, Ctrl-C stops'],
    [80, '1,000/4,000 users, 0:06 left, Ctrl-C stops'],
    [60, '1,000/4,000 users, Ctrl-C stops'],
  ])('in %i columns', (columns, facts) => {
    const text = barText(FACTS, columns)
    expect(text.length).toBeLessThan(columns)
    expect(text.replace(/#+-+/, '#-')).toBe(`Execute [#-] ${facts}`)
  })

  test('a bar is as full as the share of users', () => {
    expect(barText({ ...FACTS, done: 4_000 }, 100)).not.toContain('-]')
    expect(barText({ ...FACTS, done: 0, total: 0 }, 100)).toContain('0/0 users')
  })
})

test('on a terminal the bar is drawn over and over in one line, and goes at the end', () => {
  const { err, progress } = progressTo(true)
  progress.begin('Execute')
  expect(err.screen()).toEqual(['Execute … Ctrl-C stops'])
  now += 2_000
  progress.show(cardAt(1_000, 4_000))
  expect(err.screen()).toEqual([expect.stringMatching(/^Execute \[#+-+\] 1,000\/4,000 users, 0:06 left/)])
  progress.end()
  expect(err.screen()).toEqual([''])
})

test('the time spent waiting for another invocation does not count for the rate', () => {
  const { err, progress } = progressTo(false)
  progress.begin('Resume')
  progress.waiting(null)
  now += 900_000
  progress.show(cardAt(1_000, 4_000))
  now += 5_000
  progress.show(cardAt(2_000, 4_000))
  expect(err.written()).toMatch(/2,000\/4,000 users, 0:10 left, .*, 200\/s\n$/)
})

test('a message takes a line of its own above the bar', () => {
  const { err, progress } = progressTo(true)
  progress.begin('Execute')
  now += 1_000
  progress.show(cardAt(1_000, 4_000))
  progress.say('Stopping')
  expect(err.screen()).toEqual(['Stopping', expect.stringContaining('Execute [#####')])
  progress.end()
})

test('elsewhere there are plain lines, one in five seconds, and one at the end', () => {
  const { err, progress } = progressTo(false)
  progress.begin('Dry run')
  for (let done = 1_000; done <= 12_000; done += 1_000) {
    now += 1_000
    progress.show(cardAt(done, 12_000, { mode: 'dry-run' }))
  }
  progress.end()
  expect(err.written().trimEnd().split('\n')).toEqual([
    'Dry run …',
    'Dry run: 1,000/12,000 users, 0:11 left, $1,314.51526 would expire, 1,000/s',
    'Dry run: 6,000/12,000 users, 0:06 left, $1,314.51526 would expire, 1,000/s',
    'Dry run: 11,000/12,000 users, 0:01 left, $1,314.51526 would expire, 1,000/s',
    'Dry run: 12,000/12,000 users, $1,314.51526 would expire, 1,000/s',
  ])
})

test('what earlier invocations did does not count for the rate of a resumed run', () => {
  now += 3_600_000
  const { err, progress } = progressTo(false)
  progress.begin('Resume')
  progress.show(cardAt(90_000, 100_000))
  now += 10_000
  progress.show(cardAt(95_000, 100_000))
  progress.end()
  expect(err.written()).toContain('95,000/100,000 users, 0:10 left, $1,314.51526 expired, 500/s')
})

describe('waiting', () => {
  test('is one line with a countdown', () => {
    const until = new Date(now + 62_000).toISOString()
    expect(waitingText(until, now)).toBe('Waiting: the lease expires in 1:02. Ctrl-C stops.')
    expect(waitingText(until, now + 70_000)).toContain('expires in 0:00')
    const { err, progress } = progressTo(true)
    progress.waiting(until)
    progress.waiting(until)
    expect(err.screen()).toEqual(['Waiting: the lease expires in 1:02. Ctrl-C stops.'])
    progress.end()
    expect(err.screen()).toEqual([''])
  })

  test('is printed once where there is no terminal', () => {
    const { err, progress } = progressTo(false)
    progress.waiting('2026-11-22T06:13:00.000Z')
    progress.waiting('2026-11-22T06:14:00.000Z')
    expect(err.written()).toBe(
      'Waiting for another invocation. Its lease expires at 2026-11-22T06:13:00.000Z.\n',
    )
  })
})
