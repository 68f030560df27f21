import * as z from 'zod'
import { LIMIT_NAMES, type Limits, NUMBERS } from '../../lambda/limits.ts'

/** `limitUsers` for LIMIT_USERS: the name in the context of cdk.json. */
export function contextName(variable: string): string {
  return variable.toLowerCase().replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase())
}

/** A number of the context as the function reads it from its environment. */
const asText = z
  .union([z.number(), z.string()], { error: 'must be a number' })
  .transform((value) => String(value).trim())

/** The limits and thresholds of the function, by their names in the context. */
export const functionNumbers = z.object(
  Object.fromEntries(
    Object.entries(NUMBERS).map(([variable, schema]) => [
      contextName(variable),
      asText.pipe(schema.unwrap()).optional(),
    ]),
  ),
)
export type FunctionNumbers = Readonly<z.infer<typeof functionNumbers>>

const LIMIT_VARIABLES = {
  users: 'LIMIT_USERS',
  grants: 'LIMIT_GRANTS',
  usd: 'LIMIT_USD',
  correctionsUsd: 'LIMIT_CORRECTIONS_USD',
} as const satisfies Record<keyof Limits, keyof typeof NUMBERS>

/**
 * A sentence for each limit of scheduled executes that the function would refuse, since a payload can only
 * lower a limit: each scheduled execute would fail at its time.
 */
export function aboveFunctionLimits(limits: Limits, numbers: FunctionNumbers): string[] {
  return LIMIT_NAMES.flatMap((key) => {
    const variable = LIMIT_VARIABLES[key]
    const ofFunction = contextName(variable)
    const ofSchedule = contextName(`EXECUTE_${variable}`)
    const configured = numbers[ofFunction]
    const most = configured ?? NUMBERS[variable].parse(undefined)
    const asked = limits[key]
    if (asked <= most) return []
    return [
      `"${ofSchedule}" is ${asked}, above the function's "${ofFunction}", which is ${most}` +
        `${configured === undefined ? ' by default' : ''}: every scheduled execute would be refused. Lower ` +
        `"${ofSchedule}" to at most ${most}, or raise "${ofFunction}" to at least ${asked}`,
    ]
  })
}

/** What is configured of them, by the variables of the function. */
export function numbersByVariable(numbers: FunctionNumbers): Record<string, string> {
  return Object.fromEntries(
    Object.keys(NUMBERS).flatMap((variable) => {
      const value = numbers[contextName(variable)]
      return value === undefined ? [] : [[variable, String(value)]]
    }),
  )
}
