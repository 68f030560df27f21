import type { Run } from '../../../archive/runs.ts'
import { dollars, microdollarsOf } from '../../../exit-card.ts'

/**
 * Why an execute over these matches is refused: one sentence for each limit that is exceeded. 0 means zero.
 */
export function limitsExceeded(matched: Run['matched'], limits: Run['settings']['limits']): string[] {
  const { users, grants, faceValueMicrodollars } = matched
  const face = microdollarsOf(limits.usd)
  return [
    ...(users > limits.users
      ? [`${users} users match; the limit is ${limits.users} (LIMIT_USERS, limits.users)`]
      : []),
    ...(grants > limits.grants
      ? [`${grants} grants are targeted; the limit is ${limits.grants} (LIMIT_GRANTS, limits.grants)`]
      : []),
    ...(faceValueMicrodollars > face
      ? [
          `the face value of the targeted grants is ${dollars(faceValueMicrodollars)}; the limit is ` +
            `${dollars(face)} (LIMIT_USD, limits.usd)`,
        ]
      : []),
  ]
}
