import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { withTries, ARCHIVE_WAITS } from '../../lambda/archive/s3/attempts.ts'

/** How long the requests of an invocation may take when S3 never answers; the clock is the test's own. */
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
})
afterEach(() => {
  vi.useRealTimers()
})

const waits = { ...ARCHIVE_WAITS, pauseMs: 0 }
const never = async (): Promise<never> => new Promise<never>(() => {})

/** Lets the time pass in which the work only waits. */
async function passing(work: Promise<unknown>): Promise<void> {
  const state = { isOver: false }
  void work.finally(() => (state.isOver = true))
  while (!state.isOver) {
    if (vi.getTimerCount() > 0) await vi.advanceTimersToNextTimerAsync()
    else await new Promise((resolve) => setImmediate(resolve))
  }
}

test('an invocation has time left after a silent request, and a card, a cursor and a look at it without an answer', async () => {
  // The last request of its work begins late, and takes what time there is.
  const end = Date.now() + 14_000
  const timeLeft = (): number => end - Date.now()
  const ask = async (): Promise<unknown> =>
    withTries(never, { waits, timeLeft, signal: undefined }).catch((error: unknown) => error)
  await passing(ask().then(ask).then(ask).then(ask))
  expect(timeLeft()).toBeGreaterThan(0)
})

test('when the time is up, silence is not waited for twice, and an answer that fails is tried once more', async () => {
  let tries = 0
  const timeLeft = (): number => 0
  const silent = async (): Promise<never> => {
    tries++
    return never()
  }
  await passing(withTries(silent, { waits, timeLeft, signal: undefined }).catch(() => {}))
  expect(tries).toBe(1)

  const refused = Object.assign(new Error('slow down'), { name: 'SlowDown' })
  const passes = async (): Promise<string> => {
    if (++tries === 2) throw refused
    return 'stored'
  }
  expect(await withTries(passes, { waits, timeLeft, signal: undefined })).toBe('stored')
})
