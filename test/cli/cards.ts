import type { ExitCard } from '../../lambda/exit-card.ts'

const RUN_ID = '2026-11-22T06-12-30-123Z-execute-k3j9'

/** An exit card of a complete execute over 60 users, with what a test changes in it. */
export function cardWith(given: Partial<ExitCard> = {}, totals: Partial<ExitCard['totals']> = {}): ExitCard {
  return {
    runId: RUN_ID,
    mode: 'execute',
    instant: '2026-11-22T06:12:30.123Z',
    status: 'complete',
    why: 'every page is done',
    asked: { by: 'ada@laptop', via: 'command', reason: null, plan: null, payload: { execute: true } },
    domains: ['kilo.ai', 'kilocode.ai'],
    softwareVersion: '1.2.3',
    progress: { usersDone: 60, usersTotal: 60, percent: 100, etaSeconds: 0 },
    totals: {
      usersMatched: 60,
      usersWithoutGrants: 9,
      usersProcessed: 48,
      usersSkipped: 2,
      usersFailed: 1,
      usersNotReached: 0,
      grantsTargeted: 1119,
      matchedFaceValueMicrodollars: 2_000_000_000,
      matchedFaceValue: '$2,000.00',
      expiredMicrodollars: 1_314_515_260,
      expired: '$1,314.51526',
      duePaidMicrodollars: 16_882_796,
      duePaid: '$16.882796',
      usersCorrected: 3,
      correctedMicrodollars: 55_000_000,
      corrected: '$55.00',
      outcomes: {
        expired: 41,
        nothing_to_expire: 7,
        too_recent: 1,
        needs_review: 1,
        failed: 1,
        no_targeted_grant: 2,
      },
      flags: { auto_top_up_risk: 1 },
      ...totals,
    },
    byCategory: [
      {
        category: 'promo',
        grants: 1119,
        expiredMicrodollars: 1_314_515_260,
        expired: '$1,314.51526',
        faceValueMicrodollars: 2_000_000_000,
        faceValue: '$2,000.00',
      },
    ],
    sincePrevious: null,
    sinceExecuted: null,
    rolledBackBy: [],
    usersRolledBack: 0,
    rollsBack: null,
    warnings: ['1 user may be charged by auto top-up: balance under $5.00 after this run'],
    logs: {
      users: `s3://my-logs/logs/users/${RUN_ID}/00000-0001.jsonl`,
      mutations: `s3://my-logs/logs/mutations/${RUN_ID}/00000-0001.jsonl`,
      errors: `s3://my-logs/logs/errors/${RUN_ID}/00000-0001.jsonl`,
      run: `s3://my-logs/runs/${RUN_ID}/`,
      report: `s3://my-logs/runs/${RUN_ID}/report.html`,
      console: { users: '', mutations: '', errors: '', run: '' },
    },
    next: { text: 'preview the rollback of this run', payload: { rollback: RUN_ID } },
    ...given,
  }
}

/** The card of a run at work, as it comes after a page. */
export function cardAt(usersDone: number, usersTotal: number, given: Partial<ExitCard> = {}): ExitCard {
  const percent = usersTotal === 0 ? 100 : Math.floor((usersDone / usersTotal) * 100)
  const next = { text: 'resume this run', payload: { resume: RUN_ID } }
  return cardWith({
    status: 'incomplete',
    why: 'at work',
    progress: { usersDone, usersTotal, percent, etaSeconds: null },
    next,
    ...given,
  })
}
