import { Condition } from 'aws-cdk-lib/aws-stepfunctions'

/**
 * Looks at a payload that may come inside an EventBridge envelope. The function unwraps it; the workflow only
 * has to know where it goes. `at` is where a state holds the event: its payload is there, or in its `detail`.
 */

/** Whether `at.field` or `at.detail.field` is there and meets the condition, where one is given. */
export function anyField(at: string, field: string, condition?: (path: string) => Condition): Condition {
  const given = (path: string): Condition => {
    const present = Condition.isPresent(path)
    return condition ? Condition.and(present, condition(path)) : present
  }
  return Condition.or(given(`${at}.${field}`), given(`${at}.detail.${field}`))
}

/**
 * Whether `detail` is JSON text that names the field. Not parsed, since a text that is no JSON would end the
 * execution without a notice. Inside a string of JSON a quotation mark has a backslash before it, so that a
 * reason which mentions a field does not match.
 */
export function textNames(at: string, field: string): Condition {
  const detail = `${at}.detail`
  return Condition.and(
    Condition.isPresent(detail),
    Condition.isString(detail),
    Condition.or(...['', ' '].map((space) => Condition.stringMatches(detail, `*"${field}"${space}:*`))),
  )
}
