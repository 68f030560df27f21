import * as z from 'zod'

const COUNT = `must be a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`
const count = z.int(COUNT).min(0, COUNT)
const usd = z.number('must be a number of 0 or more').min(0, 'must be a number of 0 or more')

/** The limits of a run: an execute above one of them is refused, or stopped. 0 means zero. */
export const limitsSchema = z.strictObject(
  { users: count, grants: count, usd, correctionsUsd: usd },
  { error: 'must be an object like {"users": 300, "usd": 20000}' },
)
export type Limits = Readonly<z.infer<typeof limitsSchema>>

export const LIMIT_NAMES = limitsSchema.keyof().options

const digits = (fallback: number) =>
  z
    .string()
    .regex(/^\d+(\.\d+)?$/, `must be a number, such as ${fallback}`)
    .transform(Number)

const number = (fallback: number) => digits(fallback).default(fallback)

const wholeNumber = (fallback: number) =>
  digits(fallback)
    .refine(Number.isSafeInteger, `must be a whole number, such as ${fallback}`)
    .default(fallback)

/**
 * Every limit and threshold that is configured: the variable of the function, with its default. The context
 * of cdk.json has the same names in camel case (`limitUsers`).
 */
export const NUMBERS = {
  LIMIT_USERS: wholeNumber(2_000),
  LIMIT_GRANTS: wholeNumber(50_000),
  LIMIT_USD: number(250_000),
  LIMIT_CORRECTIONS_USD: number(10_000),
  MAX_FAILED_USERS: wholeNumber(20),
  MAX_FAILED_PERCENT: number(5),
  MIN_GRANT_AGE_SECONDS: wholeNumber(60),
  PLAN_MAX_AGE_HOURS: number(24),
}
