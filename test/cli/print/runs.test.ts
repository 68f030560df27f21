import { expect, test } from 'vitest'
import { runsTable } from '../../../bin/cli/print/runs.ts'
import type { ListedRun } from '../../../lambda/insight/runs.ts'

const run = (given: Partial<ListedRun>): ListedRun => ({
  runId: '2026-11-22T06-12-30-123Z-execute-k3j9',
  mode: 'execute',
  instant: '2026-11-22T06:12:30.123Z',
  status: 'complete',
  usersProcessed: 49,
  usersMatched: 60,
  expiredMicrodollars: 1_314_515_260,
  expired: '$1,314.51526',
  by: 'cli',
  via: 'command',
  reason: null,
  plan: null,
  rollsBack: null,
  rolledBackBy: [],
  usersRolledBack: 0,
  ...given,
})

const rollback = run({
  runId: '2026-11-22T07-00-00-000Z-rollback-aaaa',
  mode: 'rollback',
  expiredMicrodollars: -5_000_000,
  reason: 'a slip',
})

test('the runs of a bucket, amounts with their points below each other', () => {
  expect(runsTable([rollback, run({})], 120)).toBe(
    [
      'run                                     status    users       expired  by   reason',
      '2026-11-22T07-00-00-000Z-rollback-aaaa  complete  49/60     -$5.00     cli  a slip',
      '2026-11-22T06-12-30-123Z-execute-k3j9   complete  49/60  $1,314.51526  cli',
      '',
    ].join('\n'),
  )
})

test('what a preview would expire is not among what was expired', () => {
  const dryRun = run({
    runId: '2026-11-22T05-00-00-000Z-dry-run-cccc',
    mode: 'dry-run',
    expiredMicrodollars: 7_000_000,
  })
  expect(runsTable([run({}), dryRun], 120)).toBe(
    [
      'run                                    status    users  would expire       expired  by   reason',
      '2026-11-22T06-12-30-123Z-execute-k3j9  complete  49/60             –  $1,314.51526  cli',
      '2026-11-22T05-00-00-000Z-dry-run-cccc  complete  49/60         $7.00          –     cli',
      '',
    ].join('\n'),
  )
  expect(runsTable([dryRun], 120)).not.toContain('expired')
})

test('in 60 columns the run ids stay whole, and what is left out is named', () => {
  const lines = runsTable([rollback, run({})], 60).split('\n')
  expect(lines[1]).toContain(`${rollback.runId}  complete`)
  expect(lines.slice(3).join(' ')).toBe(
    'Left out for lack of room: expired, by, reason. A wider window or --json shows all. ',
  )
  expect(lines.filter((line) => line.length > 60)).toEqual([])
})

test('a run that was rolled back says so, and one that cannot be read says what is wrong with it', () => {
  const rolledBack = run({ rolledBackBy: [rollback.runId], usersRolledBack: run({}).usersProcessed })
  const partly = run({ rolledBackBy: [rollback.runId], usersRolledBack: 1 })
  const unreadable = { runId: '2026-11-21T00-00-00-000Z-execute-bbbb', problem: 'its run.json is missing' }
  const text = runsTable([rolledBack, partly, unreadable], 120)
  expect(text).toContain('complete, rolled back')
  expect(text).toContain(`complete, 1 of ${partly.usersProcessed} rolled back`)
  expect(text).toContain('2026-11-21T00-00-00-000Z-execute-bbbb: its run.json is missing\n')
})

test('what an abandoned run changed is not known, and messages name commands', () => {
  const abandoned = run({ status: 'abandoned', expiredMicrodollars: 0 })
  const lost = { runId: rollback.runId, problem: `Resume it with {"resume": "${rollback.runId}"}.` }
  const text = runsTable([abandoned, lost], 120)
  expect(text).toMatch(/abandoned +49\/60 +– /)
  expect(text).toContain(`Resume it with npm start -- --resume ${rollback.runId}.`)
})

test('a bucket in which no run can be read is not called empty', () => {
  const unreadable = { runId: '2026-11-21T00-00-00-000Z-execute-bbbb', problem: 'its run.json is missing' }
  expect(runsTable([unreadable], 120)).toBe(`${unreadable.runId}: its run.json is missing\n`)
})

test('a bucket without runs says what to do', () => {
  expect(runsTable([], 80)).toContain('npm start makes a dry run')
})
