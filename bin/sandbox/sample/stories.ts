/** A row of a user's credits, oldest first. Amounts in US dollars. */
export type StoryRow = {
  readonly daysAgo: number
  readonly usd: number
  readonly category: string
  /** Free unless it was paid. */
  readonly paid?: true
  /** Days from its creation to its date; undated without. */
  readonly lasts?: number | 'infinity'
  /** What the user had used at that time. */
  readonly usedUsd?: number
  /** The place in `rows` of the row that this one names in original_transaction_id. */
  readonly links?: number
  readonly organization?: true
  readonly description?: string
}

/** One internal user of the sample ledger. */
export type Story = {
  readonly email: string
  /** What the user is an example of. */
  readonly shows: string
  readonly usedUsd: number
  readonly rows: readonly StoryRow[]
  /** Taken off the total without a row, as early claw-backs did. */
  readonly clawedBackUsd?: number
  readonly autoTopUp?: true
  readonly blocked?: string
}

const WELCOME = 'automatic-welcome-credits'
const TEAM = 'team-testing-credits'
const HACKATHON = 'internal-hackathon'
const BONUS = 'first-top-up-bonus'
const TOP_UP = 'stripe-top-up'
const EXPIRED = 'credits_expired'

export const STORIES: readonly Story[] = [
  {
    email: 'ada@kilo.ai',
    shows: 'one undated grant, nothing spent',
    usedUsd: 0,
    rows: [{ daysAgo: 210, usd: 20, category: WELCOME }],
  },
  {
    email: 'benedikt@kilocode.ai',
    shows: 'a grant with a date to come, partly spent',
    usedUsd: 8.25,
    rows: [{ daysAgo: 40, usd: 20, category: WELCOME, lasts: 90 }],
  },
  {
    email: 'camille@kilocode.ai',
    shows: 'a grant that is fully spent',
    usedUsd: 20,
    rows: [{ daysAgo: 120, usd: 20, category: WELCOME }],
  },
  {
    email: 'dmitri@kilo.ai',
    shows: 'a closed grant that claimed the usage of an open one',
    usedUsd: 17.5,
    rows: [
      { daysAgo: 300, usd: 10, category: WELCOME, lasts: 30 },
      { daysAgo: 300, usd: 10, category: TEAM },
      { daysAgo: 270, usd: 0, category: EXPIRED, links: 0, usedUsd: 10 },
      { daysAgo: 90, usd: 25, category: TEAM, usedUsd: 10 },
    ],
  },
  {
    email: 'esther@kilo.ai',
    shows: 'grants to which rows of other tables point',
    usedUsd: 61.482913,
    rows: [
      { daysAgo: 400, usd: 20, category: WELCOME },
      { daysAgo: 390, usd: 50, category: TOP_UP, paid: true },
      { daysAgo: 390, usd: 20, category: BONUS },
    ],
  },
  {
    email: 'farah@kilocode.ai',
    shows: 'a paid credit that is due, and expires in the same pass',
    usedUsd: 3.117204,
    rows: [
      { daysAgo: 380, usd: 20, category: TOP_UP, paid: true, lasts: 365 },
      { daysAgo: 370, usd: 10, category: TEAM },
    ],
  },
  {
    email: 'giulia@kilocode.ai',
    shows: 'a paid credit with a date to come, whose baseline is raised',
    usedUsd: 6.004377,
    rows: [
      { daysAgo: 200, usd: 10, category: TEAM },
      { daysAgo: 200, usd: 20, category: TOP_UP, paid: true, lasts: 365 },
    ],
  },
  {
    email: 'hugo@kilo.ai',
    shows: 'a total that was clawed back, so that the balance is corrected to zero',
    usedUsd: 12.5,
    rows: [{ daysAgo: 150, usd: 40, category: TEAM }],
    clawedBackUsd: 20,
  },
  {
    email: 'ines@kilocode.ai',
    shows: 'an overdraft from before',
    usedUsd: 2,
    rows: [{ daysAgo: 330, usd: 5, category: WELCOME }],
    clawedBackUsd: 5,
  },
  {
    email: 'Joyce.Osei@Kilo.AI',
    shows: 'an address with capital letters',
    usedUsd: 71.3,
    rows: [
      { daysAgo: 170, usd: 20, category: WELCOME },
      { daysAgo: 150, usd: 100, category: HACKATHON },
    ],
  },
  {
    email: 'kenji@kilo.ai',
    shows: 'a grant of an organization beside a personal one',
    usedUsd: 7.250001,
    rows: [
      { daysAgo: 220, usd: 500, category: TEAM, organization: true },
      { daysAgo: 180, usd: 20, category: WELCOME },
    ],
  },
  {
    email: 'leila@kilocode.ai',
    shows: 'only a grant of an organization: nothing is targeted',
    usedUsd: 0,
    rows: [{ daysAgo: 110, usd: 250, category: TEAM, organization: true }],
  },
  {
    email: 'marek@kilocode.ai',
    shows: 'auto top-up, which may charge the card after the run',
    usedUsd: 28,
    rows: [{ daysAgo: 260, usd: 50, category: TEAM }],
    autoTopUp: true,
  },
  {
    email: 'nadia@kilo.ai',
    shows: 'auto top-up with enough paid credit left',
    usedUsd: 18.9,
    rows: [
      { daysAgo: 240, usd: 100, category: TOP_UP, paid: true },
      { daysAgo: 239, usd: 20, category: BONUS, lasts: 400 },
    ],
    autoTopUp: true,
  },
  {
    email: 'omar@kilo.ai',
    shows: 'an Orb row without a link: needs_review',
    usedUsd: 0,
    rows: [
      { daysAgo: 500, usd: 15, category: WELCOME },
      { daysAgo: 430, usd: -15, category: 'orb_credit_expired' },
      { daysAgo: 200, usd: 30, category: TEAM },
    ],
  },
  {
    email: 'paola@kilocode.ai',
    shows: 'an Orb row with a link: its grant is closed',
    usedUsd: 0,
    rows: [
      { daysAgo: 500, usd: 15, category: WELCOME },
      { daysAgo: 430, usd: -15, category: 'orb_credit_voided', links: 0 },
      { daysAgo: 200, usd: 30, category: TEAM },
    ],
  },
  {
    email: 'quentin@kilocode.ai',
    shows: 'a refund row that links to a grant: link_taken',
    usedUsd: 4.2,
    rows: [
      { daysAgo: 190, usd: 25, category: 'conference-booth-2026' },
      { daysAgo: 188, usd: -5, category: 'refund', links: 0 },
    ],
  },
  {
    email: 'rosa@kilo.ai',
    shows: 'a negative row with a date to come: negative_dated',
    usedUsd: 24,
    rows: [
      { daysAgo: 140, usd: 60, category: TEAM },
      { daysAgo: 100, usd: -10, category: 'manual-debit', lasts: 365 },
    ],
  },
  { email: 'salma@kilo.ai', shows: 'no credit at all', usedUsd: 0, rows: [] },
  {
    email: 'tomas@kilocode.ai',
    shows: 'a grant dated by a clock that is a day ahead: too_recent until then',
    usedUsd: 10,
    rows: [
      { daysAgo: 95, usd: 20, category: WELCOME },
      { daysAgo: -1, usd: 50, category: HACKATHON, usedUsd: 10 },
    ],
  },
  {
    email: 'uma@kilo.ai',
    shows: 'a date of infinity',
    usedUsd: 5.8,
    rows: [{ daysAgo: 310, usd: 30, category: TEAM, lasts: 'infinity' }],
  },
  {
    email: 'viktor@kilocode.ai',
    shows: 'a correction of the earlier script, which is no grant',
    usedUsd: 19.5,
    rows: [
      { daysAgo: 410, usd: 20, category: WELCOME, lasts: 45 },
      { daysAgo: 365, usd: -6, category: EXPIRED, links: 0, usedUsd: 14 },
      {
        daysAgo: 365,
        usd: 9,
        category: 'accounting_adjustment',
        description: 'Correction to $0 after expiring internal free credits',
        usedUsd: 14,
      },
      { daysAgo: 130, usd: 20, category: TEAM, usedUsd: 14 },
    ],
    clawedBackUsd: 9,
  },
  {
    email: "wanda.o'brien+100%@kilo.ai",
    shows: 'an address with a quote, a plus and a per cent sign',
    usedUsd: 1,
    rows: [{ daysAgo: 88, usd: 10, category: 'referral-redeeming-bonus' }],
  },
  {
    email: 'build-bot@kilocode.ai',
    shows: 'a grant a month for three years',
    usedUsd: 1_530.75,
    rows: Array.from({ length: 36 }, (_, month) => ({
      daysAgo: 1_090 - month * 30,
      usd: 50,
      category: TEAM,
      usedUsd: month * 42,
    })),
  },
  {
    email: 'yusuf@kilo.ai',
    shows: 'a blocked user',
    usedUsd: 2.75,
    rows: [{ daysAgo: 160, usd: 20, category: WELCOME }],
    blocked: 'left the company',
  },
  {
    email: 'zofia@kilo.ai',
    shows: 'spending by another route than usage: unlinked_deduction',
    usedUsd: 3,
    rows: [
      { daysAgo: 100, usd: 30, category: TEAM },
      { daysAgo: 60, usd: -12, category: 'kiloclaw-subscription', usedUsd: 3 },
    ],
  },
  {
    email: 'chidi@kilocode.ai',
    shows: 'a bonus that was taken back without a link: needs_review',
    usedUsd: 4,
    rows: [
      { daysAgo: 120, usd: 49, category: 'kilo-pass-base', paid: true },
      { daysAgo: 120, usd: 24.5, category: 'kilo-pass-bonus' },
      { daysAgo: 80, usd: -24.5, category: 'kilo-pass-upgrade-bonus-reversal:2026-09', usedUsd: 4 },
    ],
  },
  {
    email: 'mariana@kilo.ai',
    shows: 'a positive closing row of a positive grant, which is damage: needs_review',
    usedUsd: 0,
    rows: [
      { daysAgo: 200, usd: 10, category: TEAM, lasts: 30 },
      { daysAgo: 170, usd: 10, category: EXPIRED, links: 0 },
      { daysAgo: 90, usd: 15, category: TEAM },
    ],
  },
  {
    email: 'nils@kilocode.ai',
    shows: 'a negative row that came due, whose closing row is positive and no grant',
    usedUsd: 5,
    rows: [
      { daysAgo: 200, usd: 20, category: TOP_UP, paid: true },
      { daysAgo: 190, usd: -5, category: 'manual-debit', lasts: 30 },
      { daysAgo: 160, usd: 5, category: EXPIRED, links: 1 },
      { daysAgo: 80, usd: 10, category: TEAM },
    ],
  },
]

/** Addresses that look internal to a careless rule, and are not; each holds a free grant. */
export const LOOKALIKES: readonly string[] = [
  'alan@notkilo.ai',
  'mei@eu.kilo.ai',
  'sven@kilo.ai.example.com',
  'kilo.ai@gmail.com',
  'priya@kilo-ai.example.org',
  // U+0130, which some locales fold to an i.
  'dee@K\u0130LO.AI',
]
