import * as z from 'zod'
import type { Run } from '../../archive/runs.ts'
import { UnusableValue } from '../../rules/amounts.ts'
import { unpackInputs, UnreadableInputs } from '../../rules/inputs.ts'
import { planUser } from '../../rules/plan.ts'
import type { LoggedChange } from '../../rules/rollback.ts'
import { asInserted, type Lines, linesOfChange, linesOfRollback } from '../../run/lines/planned-lines.ts'
import { contextOf, settingsOf } from '../../run/lines/run-rules.ts'
import { planLine, untouchedLine, type UserLine } from '../../run/lines/user-line.ts'
import { type Difference, pathsOfDifference } from './differences.ts'

const lineSchema = z.object({
  user_id: z.string(),
  attempt: z.string(),
  outcome: z.string(),
  exceeds: z.array(z.record(z.string(), z.unknown())).optional(),
  inputs: z.unknown().optional(),
})
type ReadLine = z.infer<typeof lineSchema>

/** A user's line as it was read: what planning again takes, the parsed whole, and the text. */
export type ReadUser = {
  readonly line: ReadLine
  readonly parsed: unknown
  readonly text: string
  /** The texts of the user's lines in the mutation log. */
  readonly mutations: readonly string[]
}

/** Reads a line of the users log; null where it is no such line. */
export function readUserLine(text: string): Omit<ReadUser, 'mutations'> | null {
  try {
    const parsed: unknown = JSON.parse(text)
    return { line: lineSchema.parse(parsed), parsed, text }
  } catch {
    // Not swallowed: the caller reports the line as damaged, by its key and number.
    return null
  }
}

/** What planning a user again found. */
export type Replanned = {
  readonly differences: readonly Difference[]
  /** The line that the rules give, where it is the one in the log. */
  readonly line: UserLine | null
}

/**
 * Plans a user again from the inputs of the line, and compares the lines with those in the logs, byte for
 * byte; where they differ, value by value. A line without inputs (gone, failed, not reached) proves nothing
 * but that nothing may have been written. `change` is what a rollback rolls back.
 */
export function replan(run: Run, user: ReadUser, change: LoggedChange | null, where: string): Replanned {
  const report = (column: string, expected: Difference['expected'], found: Difference['found']) => ({
    step: 'rules' as const,
    userId: user.line.user_id,
    where,
    row: user.line.user_id,
    column,
    expected,
    found,
    explainedBy: null,
  })
  let expected: Lines | null
  try {
    expected = expectedLines(run, user.line, change)
  } catch (error) {
    if (!(error instanceof UnreadableInputs || error instanceof UnusableValue)) throw error
    return { differences: [report('inputs', 'inputs that these rules can plan', error.message)], line: null }
  }
  if (expected === null) {
    const { length } = user.mutations
    return { differences: length === 0 ? [] : [report('mutation lines', 0, length)], line: null }
  }
  const { line, mutations } = expected
  const isSameLine = JSON.stringify(line) === user.text.replace(RECOVERED, '}')
  const differences = [
    ...(isSameLine ? [] : differencesOf(JSON.stringify(line), user.text, '', report)),
    ...(mutations.length === user.mutations.length
      ? []
      : [report('mutation lines', mutations.length, user.mutations.length)]),
    ...mutations.flatMap((text, index) => {
      const found = user.mutations[index]
      if (found === undefined || found === text) return []
      return differencesOf(text, found, `mutation line ${index}: `, report)
    }),
  ]
  return { differences, line: isSameLine ? line : null }
}

const RECOVERED = /,"recovered":true\}$/

function differencesOf(
  expected: string,
  found: string,
  prefix: string,
  report: (column: string, expected: Difference['expected'], found: Difference['found']) => Difference,
): Difference[] {
  const paths = pathsOfDifference(JSON.parse(expected), JSON.parse(found.replace(RECOVERED, '}')))
  if (paths.length === 0) return [report(`${prefix}order of the fields`, expected.length, found.length)]
  return paths.map(({ path, ...values }) => report(`${prefix}${path}`, values.expected, values.found))
}

/**
 * Null where a line has no inputs, or its outcome depends on more than them: who failed was planned, and not
 * written.
 * @throws UnreadableInputs, UnusableValue
 */
function expectedLines(run: Run, line: ReadLine, change: LoggedChange | null): Lines | null {
  if (line.inputs === undefined || line.outcome === 'failed') return null
  const context = contextOf(run, line.attempt)
  const { user, rows, circumstances } = unpackInputs(line.inputs)
  if (run.selection.rollback !== null) {
    if (line.outcome !== 'rolled_back' || change === null) return null
    const { mutations, ...made } = linesOfRollback(run, context, change, { user, rows }, asInserted(change))
    return { line: made.line, mutations }
  }
  const plan = planUser(user, rows, settingsOf(run), circumstances)
  if (plan.change === null) return { line: planLine(context, plan, line.inputs), mutations: [] }
  if (line.outcome === 'exceeds_plan') {
    const why = { outcome: 'exceeds_plan' as const, exceeds: line.exceeds ?? [] }
    return { line: untouchedLine(context, plan, why, line.inputs), mutations: [] }
  }
  return linesOfChange(run, context, { plan, rows, inputs: line.inputs })
}
