import * as z from 'zod'
import type { Circumstances, LedgerUser, Transaction } from './types.ts'

/** What planning one user depends on, beside the settings of the run. */
export type Inputs = {
  readonly user: LedgerUser
  readonly rows: readonly Transaction[]
  readonly circumstances: Circumstances
}

/**
 * A value that is not packed inputs of this version. The message names the place; the values stay out of it.
 */
export class UnreadableInputs extends Error {
  override readonly name = 'UnreadableInputs'
}

const amount = z.int()
const userSchema = z.object({
  id: z.string(),
  email: z.string(),
  usedMicrodollars: amount,
  acquiredMicrodollars: amount,
  nextCreditExpirationAt: z.string().nullable(),
  autoTopUpEnabled: z.boolean(),
})
const rowSchema = z.object({
  id: z.string(),
  amountMicrodollars: amount,
  expirationBaselineMicrodollars: amount.nullable(),
  originalBaselineMicrodollars: amount.nullable(),
  isFree: z.boolean(),
  description: z.string().nullable(),
  creditCategory: z.string().nullable(),
  originalTransactionId: z.string().nullable(),
  expiryDate: z.string().nullable(),
  createdAt: z.string(),
  organizationId: z.string().nullable(),
})
const circumstancesSchema = z.object({
  named: z.boolean(),
  excluded: z.boolean(),
  takenLinks: z.array(z.string()),
})

/**
 * The order of the values in packed inputs: `[1, user, [row, …], circumstances]`, where 1 is the version of
 * this form and user, row and circumstances are arrays of the values named here.
 */
export const INPUT_COLUMNS = {
  user: userSchema.keyof().options,
  row: rowSchema.keyof().options,
  circumstances: circumstancesSchema.keyof().options,
} as const

const VERSION = 1
const packedSchema = z.tuple([
  z.literal(VERSION),
  z.array(z.unknown()),
  z.array(z.array(z.unknown())),
  z.array(z.unknown()),
])
/** Plain JSON: see INPUT_COLUMNS. */
export type PackedInputs = z.infer<typeof packedSchema>

/**
 * What planning a user was given, as compact JSON arrays: enough for planUser to give the same plan again
 * under the same settings. Organization rows without a link to or from one of the user's personal rows change
 * no plan and are omitted.
 */
export function packInputs(
  user: LedgerUser,
  rows: readonly Transaction[],
  circumstances: Circumstances,
): PackedInputs {
  const personal = new Set(rows.filter((row) => row.organizationId === null).map(({ id }) => id))
  const closed = new Set(
    rows.flatMap((row) => (personal.has(row.id) ? (row.originalTransactionId ?? []) : [])),
  )
  const needed = rows.filter(
    ({ id, organizationId, originalTransactionId }) =>
      organizationId === null || personal.has(originalTransactionId ?? '') || closed.has(id),
  )
  const known = { ...circumstances, takenLinks: [...circumstances.takenLinks].toSorted() }
  return [
    VERSION,
    INPUT_COLUMNS.user.map((column) => user[column]),
    needed.map((row) => INPUT_COLUMNS.row.map((column) => row[column])),
    INPUT_COLUMNS.circumstances.map((column) => known[column]),
  ]
}

/**
 * The inputs that packInputs packed, read back from a log line or an intent.
 * @throws UnreadableInputs when the value has another form
 */
export function unpackInputs(value: unknown): Inputs {
  const packed = packedSchema.safeParse(value)
  if (!packed.success) throw unreadable('the whole', packed.error)
  const [, user, rows, circumstances] = packed.data
  const known = unpack(circumstancesSchema, INPUT_COLUMNS.circumstances, circumstances, 'the circumstances')
  return {
    user: unpack(userSchema, INPUT_COLUMNS.user, user, 'the user'),
    rows: rows.map((row, index) => unpack(rowSchema, INPUT_COLUMNS.row, row, `row ${index}`)),
    circumstances: { ...known, takenLinks: new Set(known.takenLinks) },
  }
}

function unpack<Output>(
  schema: z.ZodType<Output>,
  columns: readonly string[],
  values: readonly unknown[],
  place: string,
): Output {
  const named = Object.fromEntries(columns.map((column, index) => [column, values[index]]))
  const parsed = schema.safeParse(named)
  if (parsed.success && values.length === columns.length) return parsed.data
  throw unreadable(place, parsed.error)
}

function unreadable(place: string, cause: Error | undefined): UnreadableInputs {
  return new UnreadableInputs(
    `The inputs cannot be read: ${place} does not have the form of version ${VERSION}. ` +
      'Read them with the version of this job that wrote them.',
    { cause },
  )
}
