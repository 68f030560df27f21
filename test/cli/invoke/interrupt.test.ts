import { EventEmitter } from 'node:events'
import { beforeEach, expect, test, vi } from 'vitest'
import { watchInterrupts } from '../../../bin/cli/invoke/interrupt.ts'

let source: EventEmitter
let now: number
beforeEach(() => {
  source = new EventEmitter()
  now = 5_000
})

function watch() {
  const on = { first: vi.fn<(how: string) => void>(), second: vi.fn<(how: string) => void>() }
  return { on, interrupt: watchInterrupts(source, () => now, on) }
}

test('the first Ctrl-C asks to stop, and ends waits; a later one stops at once, and counts once', () => {
  const { on, interrupt } = watch()
  expect(interrupt.asked()).toBeNull()
  source.emit('SIGINT')
  expect(interrupt.asked()).toBe('Ctrl-C')
  expect(interrupt.signal.aborted).toBe(true)
  expect(on.second).not.toHaveBeenCalled()
  now += 2_000
  source.emit('SIGINT')
  source.emit('SIGINT')
  expect(on.first).toHaveBeenCalledTimes(1)
  expect(on.second).toHaveBeenCalledTimes(1)
})

test('the Ctrl-C that npm passes on to a child that has had it is not a second one', () => {
  const { on } = watch()
  source.emit('SIGINT')
  now += 20
  source.emit('SIGINT')
  expect(on.second).not.toHaveBeenCalled()
})

test('a Ctrl-C that came as a key counts the same', () => {
  const { on, interrupt } = watch()
  interrupt.request()
  expect(interrupt.asked()).toBe('Ctrl-C')
  expect(on.first).toHaveBeenCalledExactlyOnceWith('Ctrl-C')
})

test('SIGTERM and a closed terminal stop after the pages in flight too', () => {
  for (const signal of ['SIGTERM', 'SIGHUP']) {
    const { on, interrupt } = watch()
    source.emit(signal)
    expect(on.first).toHaveBeenCalledExactlyOnceWith(signal)
    interrupt.release()
  }
  expect(source.eventNames()).toEqual([])
})
