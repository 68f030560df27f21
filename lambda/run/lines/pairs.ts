import * as z from 'zod'

/**
 * What of a user's line is compared between two runs. The line itself fits, and so does the same line read
 * back.
 */
export const comparedSchema = z.object({
  user_id: z.string(),
  email: z.string().nullable(),
  outcome: z.string(),
  expired_microdollars: z.int(),
  due_paid_microdollars: z.int(),
  correction_microdollars: z.int(),
  credits: z.array(
    z.object({
      id: z.string(),
      credit_category: z.string().nullable(),
      targeted: z.boolean(),
      amount_microdollars: z.int(),
      expired_microdollars: z.int().nullable(),
    }),
  ),
})
export type ComparedLine = z.infer<typeof comparedSchema>

/** The lines of one user in two runs; null where a run has none. */
export type Pair = { readonly first: ComparedLine | null; readonly second: ComparedLine | null }

/** Two runs have so few users in common that pairing their lines would take too much memory. */
export class TooDifferent extends Error {
  override readonly name = 'TooDifferent'
}

const MOST_UNPAIRED = 50_000

/**
 * Pairs the lines of two runs by user, while both are read. Both logs are in the id order of the ledger,
 * whose collation is not known here; so the order of two users is never compared. It only matters that users
 * who are in both logs have the same order in both: once one of them is found, every user read before who is
 * not paired is in one log only. Memory: the users between two that both logs have.
 * @throws TooDifferent, and what reading the logs throws
 */
export async function* pairUsers(
  first: AsyncIterable<ComparedLine>,
  second: AsyncIterable<ComparedLine>,
  mostUnpaired = MOST_UNPAIRED,
): AsyncGenerator<Pair> {
  const a = sideOf(first, (line) => ({ first: line, second: null }))
  const b = sideOf(second, (line) => ({ first: null, second: line }))
  while (!a.ended || !b.ended) {
    const side = b.ended || (!a.ended && a.unpaired.size <= b.unpaired.size) ? a : b
    const other = side === a ? b : a
    const line = await side.next()
    if (line === null) continue
    const match = other.unpaired.get(line.user_id)
    if (match) {
      yield* side.takeAll()
      yield* other.takeUntil(line.user_id)
      yield side === a ? { first: line, second: match } : { first: match, second: line }
    } else if (other.ended && other.unpaired.size === 0) {
      yield side.alone(line)
    } else {
      side.unpaired.set(line.user_id, line)
      if (a.unpaired.size + b.unpaired.size > mostUnpaired)
        throw new TooDifferent(`more than ${mostUnpaired} users in a row are in one of the two runs only`)
    }
  }
  yield* a.takeAll()
  yield* b.takeAll()
}

/** One of the two logs, and its lines that are not paired yet, in order. */
function sideOf(lines: AsyncIterable<ComparedLine>, alone: (line: ComparedLine) => Pair) {
  const iterator = lines[Symbol.asyncIterator]()
  const unpaired = new Map<string, ComparedLine>()
  const side = {
    ended: false,
    unpaired,
    alone,
    async next(): Promise<ComparedLine | null> {
      const next = await iterator.next()
      if (next.done) side.ended = true
      return next.done ? null : next.value
    },
    *takeAll(): Generator<Pair> {
      for (const line of unpaired.values()) yield alone(line)
      unpaired.clear()
    },
    /** Those before the user, who is paired. */
    *takeUntil(userId: string): Generator<Pair> {
      for (const [id, line] of unpaired) {
        unpaired.delete(id)
        if (id === userId) return
        yield alone(line)
      }
    },
  }
  return side
}
