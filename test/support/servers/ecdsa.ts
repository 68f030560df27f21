import { createECDH, type KeyObject, randomBytes } from 'node:crypto'

/** The order of P-256. */
const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

/**
 * Signs a digest as it is, as KMS does (node:crypto would hash it once more): SEC 1, 4.1.3. The result is
 * DER.
 */
export function signDigest(privateKey: KeyObject, digest: Uint8Array): Buffer {
  const secret = numberOf(Buffer.from(privateKey.export({ format: 'jwk' }).d ?? '', 'base64url'))
  const once = (numberOf(randomBytes(32)) % (N - 1n)) + 1n
  const curve = createECDH('prime256v1')
  curve.setPrivateKey(bytesOf(once))
  // The point's first coordinate comes after the byte that says that both follow.
  const r = numberOf(curve.getPublicKey().subarray(1, 33)) % N
  const s = (inverse(once) * (numberOf(digest) + r * secret)) % N
  const integers = Buffer.concat([integer(r), integer(s)])
  return Buffer.concat([Buffer.from([0x30, integers.length]), integers])
}

/** By Fermat: the order is a prime. */
function inverse(value: bigint): bigint {
  let [result, base, exponent] = [1n, value % N, N - 2n]
  for (; exponent > 0n; exponent >>= 1n) {
    if (exponent & 1n) result = (result * base) % N
    base = (base * base) % N
  }
  return result
}

function integer(value: bigint): Buffer {
  const bytes = Buffer.from(
    value
      .toString(16)
      .padStart(64, '0')
      .replace(/^(00)+/, ''),
    'hex',
  )
  // A first bit of 1 would make it negative.
  const positive = (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes
  return Buffer.concat([Buffer.from([0x02, positive.length]), positive])
}

function numberOf(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
}

function bytesOf(value: bigint): Buffer {
  return Buffer.from(value.toString(16).padStart(64, '0'), 'hex')
}
