import { GetPublicKeyCommand, KMSClient, type KMSClientConfig, SignCommand } from '@aws-sdk/client-kms'
import { hash, type KeyObject } from 'node:crypto'
import { withTries, statusOf, type ArchiveWaits } from '../archive/s3/attempts.ts'
import { isPassing } from '../archive/s3/reasons.ts'
import { SigningFailed } from './errors.ts'
import { readPublicKeys } from './public-key.ts'

/** Signs with one asymmetric key in KMS. */
export type Signer = {
  readonly keyArn: string
  /** Signs the SHA-256 of a text. @throws SigningFailed */
  readonly sign: (text: string) => Promise<Uint8Array>
  /** @throws SigningFailed, for a key of another kind as well */
  readonly publicKey: () => Promise<KeyObject>
}

/** The only kind of key: its signatures are over a SHA-256, which a manifest has anyway. */
const KEY_SPEC = 'ECC_NIST_P256'
const ALGORITHM = 'ECDSA_SHA_256'

/** KMS answers in milliseconds. While it does not, a run that is closing must not wait for long. */
export const SIGNING_WAITS = { requestMs: 3_000, tries: 2 } as const

/** A client for a key in its own region, which need not be that of the function. */
export function kmsClient(keyArn: string, options: KMSClientConfig): KMSClient {
  return new KMSClient({ region: keyArn.split(':')[3], ...options })
}

/** A signer that asks KMS, at most twice for each answer. */
export function kmsSigner(
  keyArn: string,
  client: KMSClient,
  { waits, timeLeft }: { readonly waits: ArchiveWaits; readonly timeLeft: () => number },
): Signer {
  const ask = async <T>(send: (abortSignal: AbortSignal) => Promise<T>): Promise<T> => {
    try {
      return await withTries(async ({ signal }) => send(signal), { waits, timeLeft, signal: undefined })
    } catch (error) {
      throw failure(keyArn, error)
    }
  }
  return {
    keyArn,
    async sign(text) {
      const command = new SignCommand({
        KeyId: keyArn,
        Message: hash('sha256', text, 'buffer'),
        MessageType: 'DIGEST',
        SigningAlgorithm: ALGORITHM,
      })
      const { Signature } = await ask(async (abortSignal) => client.send(command, { abortSignal }))
      if (Signature === undefined) throw failure(keyArn, new Error('the answer of KMS has no signature'))
      return Signature
    },
    async publicKey() {
      const command = new GetPublicKeyCommand({ KeyId: keyArn })
      const { PublicKey, KeySpec } = await ask(async (abortSignal) => client.send(command, { abortSignal }))
      const [key] = readPublicKeys(Buffer.from(PublicKey ?? []).toString('base64')) ?? []
      if (key) return key
      throw failed(keyArn, { what: `its key spec is ${KeySpec ?? 'unknown'}`, todo: RIGHT_KIND })
    },
  }
}

type Reason = { readonly what: string; readonly todo: string }

const RIGHT_KIND = `Configure a key with key spec ${KEY_SPEC} and key usage SIGN_VERIFY.`

/** By the name of KMS's error, or of the SDK's own. */
const BY_NAME: readonly (readonly [RegExp, Reason])[] = [
  [
    /^AccessDenied/,
    {
      what: 'the right is missing',
      todo: "Allow this role kms:Sign and kms:GetPublicKey on the key, in the key's policy too.",
    },
  ],
  [/^NotFoundException$/, { what: 'the key does not exist', todo: 'Check SIGNING_KEY_ARN.' }],
  [
    /^(DisabledException|KMSInvalidStateException)$/,
    {
      what: 'the key is disabled, or will be deleted',
      todo: 'Enable it (aws kms enable-key), or cancel its deletion (aws kms cancel-key-deletion).',
    },
  ],
  [
    /^(InvalidKeyUsageException|UnsupportedOperationException|ValidationException)$/,
    { what: `the key cannot sign with ${ALGORITHM}`, todo: RIGHT_KIND },
  ],
]

const NO_ANSWER: Reason = {
  what: 'KMS did not answer',
  todo: 'In a VPC, KMS needs an interface endpoint, or NAT.',
}
const REFUSED: Reason = { what: 'KMS refused', todo: 'Check the AWS credentials and the key.' }

function failure(keyArn: string, cause: unknown): SigningFailed {
  const name = cause instanceof Error ? cause.name : 'unknown error'
  const known = BY_NAME.find(([pattern]) => pattern.test(name))?.[1]
  const { what, todo } = known ?? (isPassing(cause, statusOf(cause)) ? NO_ANSWER : REFUSED)
  return failed(keyArn, { what: `${what} (${name})`, todo }, cause)
}

function failed(keyArn: string, { what, todo }: Reason, cause?: unknown): SigningFailed {
  return new SigningFailed(`The key ${keyArn} does not sign: ${what}. ${todo}`, { cause })
}
