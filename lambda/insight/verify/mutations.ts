import * as z from 'zod'

const value = z.union([z.string(), z.number(), z.boolean(), z.null()])
const values = z.record(z.string(), value)

/** One line of a mutation log of any writing run, as verify reads it. */
const mutation = z.object({
  user_id: z.string(),
  type: z.string(),
  row_id: z.string(),
  before: values.nullable(),
  after: values.nullable(),
})
export type RowChange = z.infer<typeof mutation>

/**
 * The changes of rows in lines of a mutation log; a line of another form is left to the comparison with the
 * rules.
 */
export function rowChanges(lines: readonly string[]): RowChange[] {
  return lines.flatMap((line) => {
    try {
      return mutation.safeParse(JSON.parse(line)).data ?? []
    } catch {
      // Reported as damaged where the logs are compared.
      return []
    }
  })
}

export function isInsert({ type }: RowChange): boolean {
  return type.endsWith('_insert')
}

export function isDelete({ type }: RowChange): boolean {
  return type.endsWith('_delete')
}

export function isUserUpdate({ type }: RowChange): boolean {
  return type === 'user_update'
}

/** The amount of the row that a change inserts or deletes. */
export function amountOf({ before, after }: RowChange): number {
  const amount = (after ?? before)?.amount_microdollars
  return typeof amount === 'number' ? amount : 0
}
