import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { historyText } from '../../../bin/cli/print/history/story.ts'
import { writeHistory } from '../../../bin/csv/history.ts'
import type { HistoryGrant } from '../../../lambda/insight/history/grants.ts'
import type { HistoryAnswer, HistoryRun } from '../../../lambda/insight/history/history.ts'
import { HOSTILE } from '../../insight/report-hostile.ts'
import { testOutput } from '../output.ts'

const EXECUTE = '2026-11-16T06-00-00-000Z-execute-k3j9'
const ROLLBACK = '2026-11-17T09-30-00-000Z-rollback-a1b2'
const PLAN = '2026-11-15T06-00-00-000Z-dry-run-7c2m'

const WELCOME: HistoryGrant = {
  id: '0d0c8b2e-8f3e-4a55-9d0c-5b1f6a2e9d31',
  category: 'automatic-welcome-credits',
  description: 'Welcome credits',
  createdAt: '2026-01-01T00:00:00.000000Z',
  isFree: true,
  targeted: true,
  amountMicrodollars: 10_000_000,
  usedMicrodollars: 4_000_000,
  expiredMicrodollars: 6_000_000,
  why: 'It covered $4.00 of usage, from $0.00 to $4.00. $6.00 was left and expired; the balance went from $16.00 to $10.00.',
  explanation: null,
}

const executed: HistoryRun = {
  runId: EXECUTE,
  mode: 'execute',
  at: '2026-11-16T06:00:00.000Z',
  status: 'complete',
  by: 'Eve',
  via: 'workflow weekly',
  reason: 'weekly clean-up',
  plan: PLAN,
  rollsBack: null,
  rolledBackBy: ROLLBACK,
  rollbackProblem: null,
  email: 'ada@kilo.ai',
  outcome: 'expired',
  meaning: 'Credit was left in at least one targeted grant, and it expired.',
  todo: 'Nothing.',
  balanceBeforeMicrodollars: 16_000_000,
  usedMicrodollars: 4_000_000,
  expiredMicrodollars: 6_000_000,
  duePaidMicrodollars: 0,
  correctionMicrodollars: 0,
  finalBalanceMicrodollars: 10_000_000,
  nextCreditExpirationAt: null,
  flags: [],
  grants: [WELCOME],
  rows: [],
  error: null,
}

const rolledBack: HistoryRun = {
  ...executed,
  runId: ROLLBACK,
  mode: 'rollback',
  at: '2026-11-17T09:30:00.000Z',
  by: 'Maria',
  via: 'command',
  reason: null,
  plan: null,
  rollsBack: EXECUTE,
  rolledBackBy: null,
  outcome: 'rolled_back',
  meaning: 'What the run wrote for the user was rolled back.',
  balanceBeforeMicrodollars: 10_000_000,
  usedMicrodollars: null,
  expiredMicrodollars: -6_000_000,
  finalBalanceMicrodollars: 16_000_000,
  grants: [
    {
      ...WELCOME,
      usedMicrodollars: null,
      expiredMicrodollars: -6_000_000,
      why: '$6.00 that had expired came back.',
    },
  ],
}

const skipped: HistoryRun = {
  ...executed,
  runId: '2026-11-23T06-00-00-000Z-execute-c3d4',
  at: '2026-11-23T06:00:00.000Z',
  rolledBackBy: null,
  plan: null,
  outcome: 'needs_review',
  meaning: 'A grant may already have been taken back by a row without a link, or a closing row is damaged.',
  todo: 'Check the rows named in "review", then name the user in "userIds".',
  finalBalanceMicrodollars: 16_000_000,
  expiredMicrodollars: 0,
  grants: [],
  rows: [
    {
      id: 'f00',
      credit_category: 'manual_decrement',
      amount_microdollars: -3_000_000,
      why: 'reversal_without_link',
    },
  ],
}

function quiet(day: string): HistoryRun {
  return {
    ...executed,
    runId: `${day}T06-00-00-000Z-execute-0000`,
    at: `${day}T06:00:00.000Z`,
    rolledBackBy: null,
    outcome: 'no_targeted_grant',
    meaning: 'The user has no free, personal, positive grant that is open and can be closed.',
    finalBalanceMicrodollars: 16_000_000,
    expiredMicrodollars: 0,
    grants: [],
  }
}

function answerWith(...runs: HistoryAnswer['result']['runs']): HistoryAnswer {
  return {
    answer: 'history',
    result: { user: { id: 'oauth/google:ada', email: 'ada@kilo.ai' }, runs, none: null },
    runsNotRead: 0,
    athena: "SELECT * FROM users WHERE user_id = 'oauth/google:ada' ORDER BY run_id",
    next: null,
  }
}

function story(answer: HistoryAnswer, columns = 80, asked = 'Ada@kilo.ai'): string {
  return historyText(answer, testOutput({ columns }), asked)
}

describe('the story of a user, for people', () => {
  test('an address that is not the one of the story is named', () => {
    const lines = story(answerWith(executed), 80, 'ada.new@kilo.ai').split('\n').slice(0, 3)
    expect(lines).toEqual([
      'History of ada@kilo.ai',
      'User ID oauth/google:ada',
      'Asked for as ada.new@kilo.ai. The newest of these runs logged the address above.',
    ])
    expect(story(answerWith(executed), 80, 'oauth/google:ada')).not.toContain('Asked for')
  })

  test('tells run by run who, why, by which plan, the balance, and each grant with its reason', () => {
    expect(story(answerWith(executed, rolledBack))).toMatchInlineSnapshot(`
      "History of ada@kilo.ai
      User ID oauth/google:ada

      2 runs, 2026-11-16 to 2026-11-17: $6.00 expired, $6.00 was restored by rollback.
      Balance $16.00 before the first, $16.00 after the last.

      All runs
        date        mode      outcome               before  expired   after
        2026-11-16  Execute   Expired, rolled back  $16.00    $6.00  $10.00
        2026-11-17  Rollback  Rolled back           $10.00   -$6.00  $16.00

      2026-11-16 06:00 UTC  Execute  Expired
        Run          2026-11-16T06-00-00-000Z-execute-k3j9 (complete)
        Asked by     Eve (workflow weekly)
        Reason       weekly clean-up
        Plan         2026-11-15T06-00-00-000Z-dry-run-7c2m
        Rolled back  by 2026-11-17T09-30-00-000Z-rollback-a1b2
        Balance      $16.00 before, $10.00 after; $4.00 used in all
        Outcome      Credit was left in at least one targeted grant, and it expired.

        grant            amount   used  expired
        Welcome credits  $10.00  $4.00    $6.00
          automatic-welcome-credits, granted 2026-01-01,
          0d0c8b2e-8f3e-4a55-9d0c-5b1f6a2e9d31
          It covered $4.00 of usage, from $0.00 to $4.00. $6.00 was left and expired;
          the balance went from $16.00 to $10.00.

      2026-11-17 09:30 UTC  Rollback  Rolled back
        Run          2026-11-17T09-30-00-000Z-rollback-a1b2 (complete)
        Asked by     Maria (command)
        Rolls back   2026-11-16T06-00-00-000Z-execute-k3j9
        Balance      $10.00 before, $16.00 after
        Outcome      What the run wrote for the user was rolled back.

        grant            amount  used  restored
        Welcome credits  $10.00     –     $6.00
          automatic-welcome-credits, granted 2026-01-01,
          0d0c8b2e-8f3e-4a55-9d0c-5b1f6a2e9d31
          $6.00 that had expired came back.
      "
    `)
  })

  test('of a skipped user names the reason, what to do, and the rows', () => {
    const told = story(answerWith(skipped)).replaceAll(/\s+/g, ' ')
    expect(told).toContain('Needs review')
    expect(told).toContain('then name the user in --user-ids.')
    expect(told).toContain(
      'credit category: manual_decrement, amount: -$3.00, why: it takes credit back without naming a grant',
    )
  })

  test('a dry run beside others moves no amount of the whole', () => {
    const dry: HistoryRun = { ...executed, runId: PLAN, mode: 'dry-run', at: '2026-11-15T06:00:00.000Z' }
    const alone = story(answerWith(dry)).replaceAll(/\s+/g, ' ')
    expect(alone).toContain('1 run, 2026-11-15, 1 of them dry, which wrote nothing: $0.00 expired.')
    expect(alone).not.toContain('before the first')
    const both = story(answerWith(dry, executed)).replaceAll(/\s+/g, ' ')
    const one = story(answerWith(executed)).replaceAll(/\s+/g, ' ')
    const amounts = (whole: string) => /: (\$\S+ expired\..*? after the last\.)/.exec(whole)?.[1]
    expect(amounts(one)).toBeDefined()
    expect(amounts(both)).toBe(amounts(one))
  })

  test('keeps free credit, paid credit that was due, and corrections apart; the table foots', () => {
    const both = { duePaidMicrodollars: 2_000_000, correctionMicrodollars: 1_000_000 }
    const back = { duePaidMicrodollars: -2_000_000, correctionMicrodollars: -1_000_000 }
    const told = story(answerWith({ ...executed, ...both }, { ...rolledBack, ...back }), 100)
    expect(told.replaceAll(/\s+/g, ' ')).toContain(
      '$6.00 expired, $6.00 was restored by rollback. $2.00 of paid credit that was due expired, $2.00 was ' +
        'restored by rollback. $1.00 of corrections to zero, $1.00 was removed by rollback.',
    )
    expect(told).toMatch(/before +expired +due paid +correction +after\n/)
  })

  test('tells weeks in which nothing happened in one paragraph, and lists each in the table', () => {
    const told = story(answerWith(executed, quiet('2026-11-23'), quiet('2026-11-30'), quiet('2026-12-07')))
    expect(told).toContain('2026-11-23 to 2026-12-07  3 runs changed nothing\n  The user has no free,')
    const flagged = { flags: ['link_taken'], rows: [{ flag: 'link_taken', id: 'row-1' }] }
    const [before, ...after] = ['2026-11-23', '2026-11-30', '2026-12-07'].map(quiet)
    const warned = story(
      answerWith(...(before ? [before] : []), ...after.map((run) => ({ ...run, ...flagged }))),
    )
    expect(warned).toContain('2026-11-30 to 2026-12-07  2 runs changed nothing\n')
    expect(warned).toContain('  Warning      Another row links to a grant')
    expect(warned).toContain('  - flag: link_taken, id: row-1\n')
    expect(told.match(/^ {2}2026-\d\d-\d\d/gm)).toHaveLength(4)
  })

  test('says what is wrong with a run that cannot be read, and with a rollback that cannot', () => {
    const problem = 'logs/users/x.jsonl is not as the job wrote it.'
    const told = story(
      answerWith(
        { runId: EXECUTE, at: '2026-11-16T06:00:00.000Z', problem },
        { ...executed, rolledBackBy: null, rollbackProblem: problem },
      ),
    )
    expect(told).toContain(`2026-11-16  This run cannot be read\n  Run ${EXECUTE}\n  ${problem}\n`)
    expect(told).toContain(`Rolled back  not known: ${problem}`)
  })

  test('sums of which a run is missing are at least so much, and the totals are unknown', () => {
    const lost = { runId: ROLLBACK, at: '2026-11-17T09:30:00.000Z', problem: 'a part is missing.' }
    const told = story(answerWith(executed, lost)).replaceAll(/\s+/g, ' ')
    expect(told).toContain(
      '2 runs, 2026-11-16 to 2026-11-17: at least $6.00 expired. The totals are unknown: 1 run could not be ' +
        'read. 2026-11-16 06:00 UTC',
    )
    const late = story({ ...answerWith(executed, lost), runsNotRead: 2 }).replaceAll(/\s+/g, ' ')
    expect(late).toContain('1 run could not be read, and there was no time for 2 runs.')
  })

  test('names the runs that were not read, the next command, and the query for all', () => {
    const next = {
      text: 'read the runs before these',
      payload: { history: 'oauth/google:ada', to: '2026-11-16' },
    }
    const told = story({ ...answerWith(executed), runsNotRead: 3, next })
    expect(told).toContain('3 older runs were not read')
    expect(told).toContain("SELECT * FROM users WHERE user_id = 'oauth/google:ada'")
    expect(told).toContain('  npm start -- --history oauth/google:ada --to 2026-11-16\n')
  })

  test('of a user that no run matched says so', () => {
    const none = 'No run that wrote to the ledger matched this user from 2027-01.'
    const answer = answerWith()
    expect(story({ ...answer, result: { ...answer.result, none } })).toContain(`${none}\n`)
  })

  test.each([60, 80, 120])('in %i columns no line is longer, whatever the texts are', (columns) => {
    const hostile = [...HOSTILE, 'a word that is too long: '.concat('x'.repeat(300))]
    const runs = hostile.map((words) => ({
      ...executed,
      by: words,
      reason: words,
      correctionMicrodollars: 1_234_567_890_123,
      grants: [
        WELCOME,
        {
          ...WELCOME,
          description: words,
          category: words,
          amountMicrodollars: 9_876_543_210_987,
          why: words,
        },
      ],
      rows: [{ credit_category: words, why: 'reversal_without_link' }],
    }))
    const lines = story(answerWith(executed, rolledBack, skipped, ...runs), columns).split('\n')
    expect(lines.filter((line) => line.length > columns)).toEqual([])
    // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
    expect(lines.filter((line) => /[\u0000-\u001f\u202a-\u202e]/.test(line))).toEqual([])
  })
})

test('as CSV it has a row for each run and each grant, and what expired in the end as the total', async () => {
  const out = new PassThrough()
  const hostile = { ...WELCOME, description: '=1+1' }
  const answer = answerWith(executed, rolledBack, { ...skipped, grants: [hostile] })
  const [csv] = await Promise.all([text(out), writeHistory(answer, out)])
  const lines = csv.trimEnd().split('\r\n')
  expect(lines).toHaveLength(1 + 6 + 1)
  expect(lines[0]).toBe(
    'run_id,at,mode,status,by,reason,plan,rolled_back_by,email,outcome,flags,row,grant_id,category,description,' +
      'created_at,expired_usd,expired_microdollars,due_paid_usd,due_paid_microdollars,correction_usd,' +
      'correction_microdollars,amount_usd,amount_microdollars,used_usd,used_microdollars,balance_before_usd,' +
      'balance_before_microdollars,final_balance_usd,final_balance_microdollars,why',
  )
  expect(lines[2]).toContain(`,grant,${WELCOME.id},automatic-welcome-credits,Welcome credits,`)
  expect(lines[4]).toContain(',-6.00,-6000000,')
  expect(lines[6]).toContain(",'=1+1,")
  expect(lines.at(-1)).toMatch(/^total,,,,,,,,,,,,,,,,6\.00,6000000,0\.00,0,0\.00,0,/)
  const empty = new PassThrough()
  const [none] = await Promise.all([text(empty), writeHistory(answerWith(), empty)])
  expect(none.trimEnd().split('\r\n')).toEqual([
    lines[0],
    expect.stringMatching(/^total,,,,,,,,,,,,,,,,0\.00,0,0\.00,0,0\.00,0,/),
  ])
})

test('as CSV it has no total row where a run could not be read', async () => {
  const out = new PassThrough()
  const lost = { runId: ROLLBACK, at: '2026-11-17T09:30:00.000Z', problem: 'a part is missing.' }
  const [csv] = await Promise.all([text(out), writeHistory(answerWith(executed, lost), out)])
  const lines = csv.trimEnd().split('\r\n')
  expect(lines).toHaveLength(1 + 2 + 1)
  expect(lines.at(-1)).toMatch(/^2026-11-17.*,unreadable,.*,a part is missing\.$/)
})
