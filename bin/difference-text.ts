import type { Difference } from '../lambda/insight/verify/differences.ts'

/** One difference as a line: whose, where, which value, and what it is instead of what it must be. */
export function differenceText({ userId, where, row, column, expected, found }: Difference): string {
  const subject = [userId === null ? '' : `user ${userId}`, where, row === userId ? '' : (row ?? ''), column]
  const what = subject.filter((text) => text !== '').join(', ')
  return `${what}: expected ${expected ?? 'nothing'}, found ${found ?? 'nothing'}`
}
