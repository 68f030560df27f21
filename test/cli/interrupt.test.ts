import { EventEmitter } from 'node:events'
import { beforeEach, expect, test, vi } from 'vitest'
import { watchInterrupts } from '../../bin/cli/interrupt.ts'

let source: EventEmitter
let now: number
beforeEach(() => {
  source = new EventEmitter()
  now = 5_000
})

function watch() {
  const on = { first: vi.fn<() => void>(), second: vi.fn<() => void>() }
  return { on, interrupt: watchInterrupts(source, () => now, on) }
}

test('the first Ctrl-C asks to stop, and ends waits; a later one stops hard, once', () => {
  const { on, interrupt } = watch()
  expect(interrupt.asked()).toBe(false)
  source.emit('SIGINT')
  expect(interrupt.asked()).toBe(true)
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

test('SIGTERM and a closed terminal stop in good order too', () => {
  for (const signal of ['SIGTERM', 'SIGHUP']) {
    const { on, interrupt } = watch()
    source.emit(signal)
    expect(on.first).toHaveBeenCalledTimes(1)
    interrupt.release()
  }
  expect(source.eventNames()).toEqual([])
})
