import type { ReportCard, UserLogLine } from '../../lambda/insight/report/input.ts'
import { sampleCard, sampleLines } from './report-sample.ts'

/** Texts that are markup, script, links or invisible characters to a page that takes them as such. */
export const HOSTILE = [
  '<script>window.hacked = 1</script>',
  '</script><script>window.hacked = 2</script>',
  '"><img src=x onerror="window.hacked = 3">',
  "' onmouseover='window.hacked = 4",
  'javascript:window.hacked = 5',
  '<style>body{display:none}</style><!--',
  '{{7*7}}${7*7}',
] as const

const RIGHT_TO_LEFT = 'pay\u202Egnp.exe'
const LINES = 'one\u2028two\u2029three\u0000\u200B'
const LONG = 'x'.repeat(10_000)

/** One user for each hostile text, which is put everywhere a log line can carry text. */
export function hostileLines(): UserLogLine[] {
  const texts = [...HOSTILE, RIGHT_TO_LEFT, LINES, LONG]
  return sampleLines(texts.length).map((line, index) => {
    const text = texts[index] ?? ''
    return {
      ...line,
      user_id: `${index} ${text}`,
      email: `${text}@kilo.ai`,
      outcome: index === 0 ? 'needs_review' : 'expired',
      flags: [text],
      review: [text, { credit_category: text, amount_microdollars: -5_000_000 }],
      next_credit_expiration_at: text,
      credits: [
        {
          id: text,
          credit_category: text,
          description: text,
          created_at: text,
          is_free: true,
          targeted: true,
          amount_microdollars: 5_000_000,
          expired_microdollars: 5_000_000,
        },
      ],
    }
  })
}

/** A card whose every text is hostile. */
export function hostileCard(lines: readonly UserLogLine[]): ReportCard {
  const text = HOSTILE.join(' ')
  return sampleCard(lines, {
    runId: text,
    instant: text,
    status: text,
    why: text,
    asked: { by: text, via: text, reason: `${text} ${LONG}`, plan: text, payload: { reason: text } },
    domains: [text],
    softwareVersion: text,
    byCategory: [
      {
        category: text,
        grants: 1,
        expiredMicrodollars: 1,
        expired: text,
        faceValueMicrodollars: 2,
        faceValue: text,
      },
    ],
    warnings: [text, `auto top-up ${text}`],
    logs: {
      users: text,
      mutations: 'javascript:window.hacked=6',
      errors: text,
      run: text,
      report: text,
      console: {
        users: 'javascript:window.hacked=7',
        mutations: `https://example.com/${text}`,
        errors: text,
        run: text,
      },
    },
    next: { text, payload: { rollback: text } },
    rolledBackBy: [text],
    rollsBack: text,
    sincePrevious: { runId: text, users: 1, grants: 1, expiredMicrodollars: 1, expired: text, skipped: {} },
  })
}
