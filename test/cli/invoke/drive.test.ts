import { expect, test } from 'vitest'
import { drive } from '../../../bin/cli/invoke/drive.ts'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { cardAt, cardWith } from '../cards.ts'

const LEASE = '2026-11-22T06:13:00.000Z'
const RESUME = { resume: '2026-11-22T06-12-30-123Z-execute-k3j9' }

/**
 * Drives a job that answers with these cards, one an invocation; gives the last card, what was sent, and how
 * often it waited.
 */
async function driven(cards: readonly ExitCard[], { wait = false, interruptAt = Infinity } = {}) {
  const sent: unknown[] = []
  const waits: (string | null)[] = []
  const controller = new AbortController()
  const card = await drive(
    { execute: true },
    {
      invoke: async (event) => {
        sent.push(event)
        if (sent.length === interruptAt) controller.abort()
        return cards[sent.length - 1] ?? cardWith({ why: 'one invocation too many' })
      },
      interrupt: {
        asked: () => (controller.signal.aborted ? 'Ctrl-C' : null),
        signal: controller.signal,
        request: () => {},
        release: () => {},
      },
      progress: {
        say: () => {},
        begin: () => {},
        show: () => {},
        counted: () => {},
        waiting: (until) => void waits.push(until),
        end: () => {},
        latest: () => null,
      },
      wait,
      lookEveryMs: 1,
      hasClosed: () => true,
      leaseExpiresAt: async () => LEASE,
    },
  )
  return { card, sent, waits }
}

test('invocations are repeated with what the card says to send, until the run is closed', async () => {
  const { card, sent } = await driven([cardAt(10, 60), cardAt(40, 60), cardWith()])
  expect(card).toMatchObject({ status: 'complete' })
  expect(sent).toEqual([{ execute: true }, RESUME, RESUME])
})

test('a closed run is not sent again, whatever its status', async () => {
  for (const status of ['complete', 'complete_with_errors', 'stopped', 'cancelled', 'refused'] as const) {
    expect((await driven([cardWith({ status })])).sent).toHaveLength(1)
  }
})

test('another invocation holds the lease: without --wait the command ends, with it the payload is sent again', async () => {
  const busy = cardAt(10, 60, {
    status: 'busy',
    why: 'another invocation is at work; its lease expires at 06:13',
  })
  expect(await driven([busy])).toMatchObject({
    card: { status: 'busy' },
    sent: [{ execute: true }],
    waits: [],
  })
  const waited = await driven([busy, busy, cardWith()], { wait: true })
  expect(waited).toMatchObject({
    card: { status: 'complete' },
    sent: [{ execute: true }, { execute: true }, { execute: true }],
  })
  expect(waited.waits).toEqual([LEASE, LEASE])
})

test('a lease kept by an invocation of this command, because a commit is uncertain: its own card, not busy', async () => {
  const uncertain = cardAt(10, 60, {
    why: 'It is not known yet whether 2 users of page 3 were committed. The lease expires at 06:14',
  })
  const busy = cardAt(10, 60, { status: 'busy', why: 'another invocation is at work' })
  expect((await driven([uncertain, busy])).card).toEqual(uncertain)
  const waited = await driven([uncertain, busy, cardWith()], { wait: true })
  expect(waited).toMatchObject({
    card: { status: 'complete' },
    waits: [LEASE],
  })
})

test('after a request to stop there is no further invocation and no further waiting', async () => {
  expect(await driven([cardAt(10, 60)], { interruptAt: 1 })).toMatchObject({
    card: { status: 'incomplete' },
    sent: [{ execute: true }],
  })
  const busy = cardAt(10, 60, { status: 'busy' })
  expect(await driven([busy], { wait: true, interruptAt: 1 })).toMatchObject({ card: { status: 'busy' } })
})

test('invocations without progress are not repeated for ever', async () => {
  const { card, sent } = await driven(Array.from({ length: 20 }, () => cardAt(10, 60)))
  expect(card).toMatchObject({
    status: 'incomplete',
    why: expect.stringMatching(/made no progress.*--invocation-seconds 900/),
  })
  expect(sent.length).toBeLessThan(10)
})
