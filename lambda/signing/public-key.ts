import { createPublicKey, type KeyObject, verify } from 'node:crypto'

/** How public keys may be given, as the end of a sentence that names where they come from. */
export const PUBLIC_KEY_FORMS =
  'must hold public keys of ECC_NIST_P256 keys: as PEM, or as ' +
  '"aws kms get-public-key --key-id … --output text --query PublicKey" prints them, with commas between'

/** What Node calls the curve of ECC_NIST_P256. */
const CURVE = 'prime256v1'
const PEM = /-----BEGIN [^]+?-----END [A-Z ]+-----/g

/**
 * Reads public keys: the one in use, and those that signed before it. Null where the text holds none, or one
 * of another kind.
 */
export function readPublicKeys(text: string): readonly KeyObject[] | null {
  const keys = (text.match(PEM) ?? text.trim().split(/\s*,\s*/)).map(readPublicKey)
  const known = keys.filter((key) => key !== null)
  return known.length === keys.length ? known : null
}

function readPublicKey(text: string): KeyObject | null {
  try {
    const key = text.startsWith('-----')
      ? createPublicKey(text)
      : createPublicKey({ key: Buffer.from(text, 'base64'), format: 'der', type: 'spki' })
    return key.asymmetricKeyDetails?.namedCurve === CURVE ? key : null
  } catch {
    // Not swallowed: the caller names where the text came from, and what it must be.
    return null
  }
}

/** Whether `signature` (DER, as KMS gives it) is one of these bytes by the owner of any of the keys. */
export function isSignedBy(
  publicKeys: readonly KeyObject[],
  bytes: Uint8Array,
  signature: Uint8Array,
): boolean {
  return publicKeys.some((key) => verify('sha256', bytes, key, signature))
}
