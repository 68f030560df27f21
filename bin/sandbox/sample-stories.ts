import {
  FREE,
  autoTopUp,
  block,
  borrow,
  clawBack,
  earlierScript,
  grant,
  orbVoid,
  refund,
  spend,
  spendAll,
  spendShare,
  topUp,
} from './sample-happenings.ts'
import type { Lasting } from './sample-happenings.ts'
import { productionPass } from './sample-history.ts'
import type { Happening } from './sample-history.ts'
import type { Random } from './sample-random.ts'

/** What happened to a user: `[days before now, what]`, oldest first. */
export type Story = [number, Happening][]

/** An organization of the sample ledger; its credits are nobody's personal ones. */
const ORGANIZATION = { organization_id: '7c0e8a52-3f0b-4a55-9d0c-5b1f6a2e9d31' }

const SECONDS = 1 / 86_400

/** One internal user for everything that the rules talk about, by name and e-mail. */
export const TEAM: { name: string; email: string; story: Story }[] = [
  {
    name: 'Ada Okoye',
    email: 'ada@kilo.ai',
    story: [
      [210, grant(FREE.welcome, 20)],
      [209, spend(0)],
    ],
  },
  {
    name: 'Benedikt Vogel',
    email: 'benedikt@kilocode.ai',
    story: [
      [40, grant(FREE.welcome, 20, 90)],
      [30, spendShare(0.4)],
    ],
  },
  {
    name: 'Camille Leroy',
    email: 'camille@kilocode.ai',
    story: [
      [120, grant(FREE.welcome, 20)],
      [100, spendAll],
    ],
  },
  {
    name: 'Dmitri Sokolov',
    email: 'dmitri@kilo.ai',
    story: [
      [300, grant(FREE.welcome, 10, 30)],
      [300, grant(FREE.team, 10)],
      [280, spend(10)],
      [260, productionPass],
      [90, grant(FREE.team, 25)],
      [60, spendShare(0.3)],
    ],
  },
  {
    name: 'Esther Mwangi',
    email: 'esther@kilo.ai',
    story: [
      [400, grant(FREE.welcome, 20)],
      [390, topUp(50)],
      [390, grant(FREE.topUpBonus, 20)],
      [200, spend(61.482_913)],
    ],
  },
  {
    name: 'Farah Haddad',
    email: 'farah@kilocode.ai',
    story: [
      [380, topUp(20, 365)],
      [370, grant(FREE.team, 10)],
      [360, spend(3.117_204)],
    ],
  },
  {
    name: 'Giulia Fontana',
    email: 'giulia@kilocode.ai',
    story: [
      [200, grant(FREE.team, 10)],
      [200, topUp(20, 365)],
      [180, spend(6.004_377)],
    ],
  },
  {
    name: 'Hugo Lindqvist',
    email: 'hugo@kilo.ai',
    story: [
      [150, grant(FREE.team, 40)],
      [149, spend(12.5)],
      [120, clawBack(40)],
    ],
  },
  {
    name: 'Ines Barros',
    email: 'ines@kilocode.ai',
    story: [
      [330, grant(FREE.welcome, 5)],
      [300, clawBack(5)],
    ],
  },
  {
    name: 'Joyce Osei',
    email: 'Joyce.Osei@Kilo.AI',
    story: [
      [170, grant(FREE.welcome, 20)],
      [150, grant(FREE.hackathon, 100)],
      [149, spendShare(0.7)],
    ],
  },
  {
    name: 'Kenji Mori',
    email: 'kenji@kilo.ai',
    story: [
      [220, grant(FREE.team, 500, 'undated', ORGANIZATION)],
      [180, grant(FREE.welcome, 20)],
      [90, spend(7.250_001)],
    ],
  },
  {
    name: 'Leila Farouk',
    email: 'leila@kilocode.ai',
    story: [[110, grant(FREE.team, 250, 'undated', ORGANIZATION)]],
  },
  {
    name: 'Marek Novak',
    email: 'marek@kilocode.ai',
    story: [
      [260, grant(FREE.team, 50)],
      [255, autoTopUp],
      [250, spendShare(0.6)],
    ],
  },
  {
    name: 'Nadia Benali',
    email: 'nadia@kilo.ai',
    story: [
      [240, topUp(100)],
      [240, autoTopUp],
      [239, grant(FREE.topUpBonus, 20, 180)],
      [200, spend(18.9)],
    ],
  },
  {
    name: 'Omar Diallo',
    email: 'omar@kilo.ai',
    story: [
      [500, grant(FREE.welcome, 15)],
      [430, orbVoid(15, false)],
      [200, grant(FREE.team, 30)],
    ],
  },
  {
    name: 'Paola Ricci',
    email: 'paola@kilocode.ai',
    story: [
      [500, grant(FREE.welcome, 15)],
      [430, orbVoid(15, true)],
      [200, grant(FREE.team, 30)],
    ],
  },
  {
    name: 'Quentin Moreau',
    email: 'quentin@kilocode.ai',
    story: [
      [190, grant(FREE.promo, 25)],
      [188, refund(5)],
      [60, spend(4.2)],
    ],
  },
  {
    name: 'Rosa Castillo',
    email: 'rosa@kilo.ai',
    story: [
      [140, grant(FREE.team, 60)],
      [100, borrow(10, 365)],
      [80, spendShare(0.5)],
    ],
  },
  { name: 'Salma Kaya', email: 'salma@kilo.ai', story: [[70, spend(0)]] },
  {
    name: 'Tomas Horvat',
    email: 'tomas@kilocode.ai',
    story: [
      [95, grant(FREE.welcome, 20)],
      [94, spendShare(0.5)],
      [4 * SECONDS, grant(FREE.hackathon, 50)],
    ],
  },
  {
    name: 'Uma Mehta',
    email: 'uma@kilo.ai',
    story: [
      [310, grant(FREE.team, 30, 'infinity')],
      [290, spendShare(0.2)],
    ],
  },
  {
    name: 'Viktor Popescu',
    email: 'viktor@kilocode.ai',
    story: [
      [410, grant(FREE.welcome, 20)],
      [405, spend(14)],
      [404, clawBack(9)],
      [365, earlierScript],
      [130, grant(FREE.team, 20)],
      [120, spendShare(0.3)],
    ],
  },
  {
    name: "Wanda O'Brien",
    email: "wanda.o'brien+100%@kilo.ai",
    story: [
      [88, grant(FREE.redeeming, 10)],
      [60, spend(1)],
    ],
  },
  {
    name: 'Build Bot',
    email: 'build-bot@kilocode.ai',
    story: Array.from({ length: 36 }, (_, month): [number, Happening][] => [
      [1090 - month * 30, grant(FREE.team, 50)],
      [1080 - month * 30, spendShare(0.9)],
    ]).flat(),
  },
  {
    name: 'Yusuf Adler',
    email: 'yusuf@kilo.ai',
    story: [
      [160, grant(FREE.welcome, 20)],
      [100, spend(2.75)],
      [50, block('left the company')],
    ],
  },
]

/** Addresses that look internal to a careless rule, and are not. */
export const LOOKALIKES = [
  { name: 'Alan Varga', email: 'alan@notkilo.ai' },
  { name: 'Mei Chen', email: 'mei@eu.kilo.ai' },
  { name: 'Sven Berg', email: 'sven@kilo.ai.example.com' },
  { name: 'Zofia Nowak', email: 'kilo.ai@gmail.com' },
  { name: 'Priya Gupta', email: 'priya@kilo-ai.example.org' },
  { name: 'Ivan Petrov', email: 'ivan@kilocode.ai.example.net' },
] as const

/** Theirs is the credit that a careless rule would take. */
export const LOOKALIKE_STORY: Story = [
  [150, grant(FREE.welcome, 20)],
  [120, spendShare(0.5)],
]

/** An ordinary history: a welcome grant, and by chance promotions, referrals, top-ups, usage and expirations. */
export function ordinaryStory(random: Random): Story {
  const signedUp = random.between(20, 700)
  if (random.chance(0.08)) return [[signedUp, spend(0)]]
  const lasting = random.pick<Lasting>(['undated', 'undated', 30, 90])
  const story: Story = [[signedUp, grant(FREE.welcome, random.pick([5, 10, 20]), lasting)]]
  for (let daysAgo = signedUp - random.between(1, 40); daysAgo > 1; daysAgo -= random.between(5, 90)) {
    story.push([daysAgo, productionPass], [daysAgo, somethingOrdinary(random)])
  }
  return [...story, [0.5, productionPass]]
}

function somethingOrdinary(random: Random): Happening {
  const lasting = () => random.pick<Lasting>(['undated', 30, 60, 180])
  const happenings: (() => Happening)[] = [
    () => spendShare(random.next()),
    () => spendShare(random.next()),
    () => spendAll,
    () => grant(FREE.promo, random.pick([5, 10, 25]), lasting()),
    () => grant(FREE.referring, 10, lasting()),
    () => grant(FREE.hackathon, random.pick([20, 50, 100]), lasting()),
    () => grant(FREE.team, random.pick([10, 25, 50]), lasting()),
    () => topUp(random.pick([10, 20, 50, 100]), random.pick<Lasting>(['undated', 'undated', 365])),
  ]
  return random.pick(happenings)()
}
