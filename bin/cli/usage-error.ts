/** The command line or the environment does not say what to do. The message names the option and shows the way out. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
