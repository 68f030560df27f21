import * as z from 'zod'

/**
 * Values of a CDK context: JSON where they come from cdk.json, always text where they come from `-c
 * name=value`.
 */

/** A text of a given form, refused with an example. */
export const text = (pattern: RegExp, example: string) =>
  z
    .string({ error: `must be like ${example}` })
    .trim()
    .regex(pattern, `must be like ${example}`)

/** A list, or its parts in one text with commas between them. */
export const list = (item: RegExp, example: string) =>
  z
    .union([z.string(), z.array(z.string())], { error: `must be a list like ${example}` })
    .transform((given) => (typeof given === 'string' ? given.split(',') : given).map((part) => part.trim()))
    .refine((parts) => parts.every((part) => item.test(part)), `must be a list like ${example}`)

/** A number of 0 or more. */
export const number = (example: number) =>
  z
    .union(
      [
        z.number(),
        z
          .string()
          .trim()
          .regex(/^\d+(\.\d+)?$/)
          .transform(Number),
      ],
      { error: `must be a number like ${example}` },
    )
    .refine((value) => value >= 0, `must be a number like ${example}`)

/** A whole number of 0 or more. */
export const whole = (example: number) =>
  number(example).refine(Number.isSafeInteger, `must be a whole number like ${example}`)

/** A TCP port. */
export const port = (example: number) =>
  whole(example).refine(
    (given) => given >= 1 && given <= 65_535,
    `must be a port from 1 to 65535, like ${example}`,
  )

/** A number of days, at least 1. */
export const days = (example: number) =>
  whole(example).refine((count) => count >= 1, `must be a number of days like ${example}`)

export const yesOrNo = z.union(
  [z.boolean(), z.enum(['true', 'false']).transform((word) => word === 'true')],
  { error: 'must be true or false' },
)

/** A list of texts that may hold commas: JSON, as itself or as text. */
export const texts = (example: string) => {
  const parts = z.array(z.string().min(1))
  return z.union([parts, z.string().transform(fromJson).pipe(parts)], {
    error: `must be a JSON list of texts like ${example}`,
  })
}

/** When EventBridge Scheduler starts something. */
export const schedule = text(/^(cron|rate|at)\(.+\)$/, 'cron(0 7 1 * ? *)')

/** A schedule, or `none`. */
export const optionalSchedule = (example: string) =>
  text(/^(none|(cron|rate|at)\(.+\))$/, `${example}, or none`).default(example)

/** A secret's ARN in full: a policy names it, and the last six characters are part of it. */
export const secretArn = text(
  /^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:.+-[A-Za-z0-9]{6}$/,
  'arn:aws:secretsmanager:eu-central-1:123456789012:secret:ledger-AbCdEf (the whole ARN, with its last ' +
    'six characters)',
)

export const keyArn = text(
  /^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key\/.+$/,
  'arn:aws:kms:eu-central-1:123456789012:key/0a1b2c3d-0000-4000-8000-0123456789ab',
)

function fromJson(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}
