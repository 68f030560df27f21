import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { type ComparedLine, type Pair, pairUsers } from '../../lambda/run/lines/pairs.ts'

const RUNS = fc.record({
  order: fc.uniqueArray(fc.string({ minLength: 1, maxLength: 4 }), { maxLength: 40 }),
  in: fc.array(fc.constantFrom('first', 'second', 'both', 'none'), { minLength: 40, maxLength: 40 }),
})

test('every user of two logs is in exactly one pair, whatever the order of ids that both logs share', async () => {
  await fc.assert(
    fc.asyncProperty(RUNS, async ({ order, in: places }) => {
      const where = (id: string) => places[order.indexOf(id)] ?? 'none'
      const first = order.filter((id) => ['first', 'both'].includes(where(id)))
      const second = order.filter((id) => ['second', 'both'].includes(where(id)))
      const pairs = await paired(first, second)
      expect(pairs.toSorted()).toEqual(
        order
          .filter((id) => where(id) !== 'none')
          .map((id) => `${first.includes(id) ? id : '-'} ${second.includes(id) ? id : '-'}`)
          .toSorted(),
      )
    }),
  )
})

test('keeps no more lines than lie between two users of both logs', async () => {
  const many = Array.from({ length: 1_000 }, (_, index) => `user-${index}`)
  const everyTenth = many.filter((_, index) => index % 10 === 0)
  expect(await paired(many, everyTenth, 20)).toHaveLength(1_000)
  expect(await paired([], many, 20)).toHaveLength(1_000)
  await expect(paired(many, ['someone-else'], 20)).rejects.toThrow('more than 20 users in a row')
})

async function paired(first: string[], second: string[], most?: number): Promise<string[]> {
  const pairs: Pair[] = []
  for await (const pair of pairUsers(linesOf(first), linesOf(second), most)) pairs.push(pair)
  return pairs.map((pair) => `${pair.first?.user_id ?? '-'} ${pair.second?.user_id ?? '-'}`)
}

async function* linesOf(ids: string[]): AsyncGenerator<ComparedLine> {
  for (const id of ids) {
    yield {
      user_id: id,
      email: null,
      outcome: 'expired',
      expired_microdollars: 0,
      due_paid_microdollars: 0,
      correction_microdollars: 0,
      credits: [],
    }
  }
}
