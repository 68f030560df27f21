/** No signature was made. The message says why, and what to do. */
export class SigningFailed extends Error {
  override readonly name = 'SigningFailed'
}
