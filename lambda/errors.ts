/**
 * The request cannot be carried out as things are. The message says why, with the figures, what was or was
 * not done, and what to send instead.
 */
export class RunRefused extends Error {
  override readonly name = 'RunRefused'
}
