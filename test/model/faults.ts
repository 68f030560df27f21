import type { Random } from '../support/random.ts'

/** How a network and processes misbehave. */

/** How a request may fare: S3 requests can be delayed and repeated, of SQL only a COMMIT can be delayed. */
export type Network = 'any' | 'delay' | 'lose' | 'none'

/** Probabilities of one schedule: of a misbehaving request, and among those of a crash and of a stall. */
export type Faults = {
  readonly rate: number
  readonly crash: number
  readonly stall: number
  /** Requests with this in their names misbehave more often. */
  readonly focus: string | null
}
export const NO_FAULTS: Faults = { rate: 0, crash: 0, stall: 0, focus: null }

const RATES = [0.01, 0.04, 0.1, 0.2]
const FOCUSES = [null, null, null, 'logs/', 'cursor.json', 'commit', 'writer.json', 'requests/', 'intents/']

export function chooseFaults(random: Random): Faults {
  return {
    rate: random.pick(RATES),
    crash: random.pick([0.05, 0.2]),
    stall: random.pick([0.1, 0.3, 0.5]),
    focus: random.pick(FOCUSES),
  }
}

export type Fate = {
  /** Whether the request reaches its server now, and whether it, or a copy, reaches it later. */
  readonly served: boolean
  readonly delayed: boolean
  readonly ends: 'reply' | 'no reply' | 'crash' | 'stall'
}
const NORMAL: Fate = { served: true, delayed: false, ends: 'reply' }

export function chooseFate(random: Random, faults: Faults, network: Network, name: string): Fate {
  if (faults.rate === 0 || network === 'none') return NORMAL
  const often = faults.focus !== null && name.includes(faults.focus)
  if (random.next() >= (often ? Math.min(0.6, 5 * faults.rate) : faults.rate)) return NORMAL
  const canDelay = network !== 'lose'
  const chosen = random.next()
  if (chosen < faults.crash) {
    const served = random.next() < 0.4
    return { served, delayed: !served && canDelay && random.next() < 0.5, ends: 'crash' }
  }
  if (chosen < faults.crash + faults.stall)
    return { served: random.next() < 0.5, delayed: false, ends: 'stall' }
  if (random.next() < 0.3) return { served: true, delayed: false, ends: 'no reply' }
  if (!canDelay || random.next() < 0.4) return { served: false, delayed: false, ends: 'no reply' }
  const repeated = network === 'any' && random.next() < 0.4
  return { served: repeated, delayed: true, ends: repeated ? 'reply' : 'no reply' }
}
