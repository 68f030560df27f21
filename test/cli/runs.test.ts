import { expect, test } from 'vitest'
import { runsTable } from '../../bin/cli/runs.ts'
import type { ListedRun } from '../../lambda/run/runs.ts'

const run = (given: Partial<ListedRun>): ListedRun => ({
  runId: '2026-11-22T06-12-30-123Z-execute-k3j9',
  mode: 'execute',
  instant: '2026-11-22T06:12:30.123Z',
  status: 'complete',
  usersProcessed: 49,
  usersMatched: 60,
  expiredMicrodollars: 1_314_515_260,
  expired: '$1,314.51526',
  source: 'cli',
  requestId: 'one',
  reason: null,
  ...given,
})

test('the runs of a bucket stand under each other, amounts by their points', () => {
  const rollback = run({
    runId: '2026-11-22T07-00-00-000Z-rollback-aaaa',
    mode: 'rollback',
    expiredMicrodollars: -5_000_000,
    reason: 'a slip',
  })
  expect(runsTable([rollback, run({})])).toBe(
    [
      'run                                     status    users       expired  asked by  reason',
      '2026-11-22T07-00-00-000Z-rollback-aaaa  complete  49/60     -$5.00     cli       a slip',
      '2026-11-22T06-12-30-123Z-execute-k3j9   complete  49/60  $1,314.51526  cli',
      '',
    ].join('\n'),
  )
})

test('a bucket without runs says what to do', () => {
  expect(runsTable([])).toContain('npm start makes a dry run')
})
