import { expect, test } from 'vitest'
import { prose } from '../../../bin/cli/print/prose.ts'

const MESSAGE =
  'Run X is open, and it was opened with other limits. Nothing was done. To close it first, run npm ' +
  'start -- --execute --restart X. To see it: npm start -- --status X'

test('on a terminal lines break between words, and a sentence with a command stays whole', () => {
  expect(prose(MESSAGE, 40).split('\n')).toEqual([
    'Run X is open, and it was opened with',
    'other limits. Nothing was done.',
    'To close it first, run npm start -- --execute --restart X.',
    'To see it: npm start -- --status X',
  ])
})

test('in a pipe a message is one line', () => {
  expect(prose(MESSAGE, Infinity)).toBe(MESSAGE)
})
