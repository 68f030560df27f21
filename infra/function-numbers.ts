import * as z from 'zod'
import { NUMBERS } from '../lambda/limits.ts'

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

/** What is configured of them, by the variables of the function. */
export function numbersByVariable(numbers: FunctionNumbers): Record<string, string> {
  return Object.fromEntries(
    Object.keys(NUMBERS).flatMap((variable) => {
      const value = numbers[contextName(variable)]
      return value === undefined ? [] : [[variable, String(value)]]
    }),
  )
}
