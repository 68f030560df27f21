import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { signDigest } from './ecdsa.ts'

/** What becomes of a request: an answer, silence, or an error of KMS. */
export type KmsBehaviour = 'answer' | 'silent' | { readonly status: number; readonly error: string }

/** What KMS was asked: an operation, and its fields. */
export type KmsRequest = { readonly operation: string; readonly input: Readonly<Record<string, unknown>> }

/** A substitute for KMS with one asymmetric key. */
export type Kms = {
  readonly endpoint: string
  readonly keyArn: string
  readonly publicKey: KeyObject
  readonly requests: readonly KmsRequest[]
  /** How the requests from now on are treated; `requests` begins anew. */
  behave(decide: (request: KmsRequest, number: number) => KmsBehaviour): void
  stop(): Promise<void>
}

const ALGORITHMS = {
  ECC_NIST_P256: 'ECDSA_SHA_256',
  ECC_NIST_P384: 'ECDSA_SHA_384',
  RSA_2048: 'RSASSA_PSS_SHA_256',
} as const
type KeySpec = keyof typeof ALGORITHMS

/**
 * Starts a substitute for KMS that speaks the AWS JSON 1.1 protocol for Sign and GetPublicKey. Only a key of
 * the spec ECC_NIST_P256 signs.
 */
export async function startKms(spec: KeySpec = 'ECC_NIST_P256'): Promise<Kms> {
  const { publicKey, privateKey } = keyPairOf(spec)
  const keyArn = `arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-0000-4000-8000-${spec.length}23456789ab`
  const requests: KmsRequest[] = []
  let decide: (request: KmsRequest, number: number) => KmsBehaviour = () => 'answer'
  const answerTo = ({ operation, input }: KmsRequest): object | string => {
    if (input.KeyId !== keyArn) return 'NotFoundException'
    if (operation === 'GetPublicKey') {
      const der = publicKey.export({ type: 'spki', format: 'der' }).toString('base64')
      return { KeyId: keyArn, PublicKey: der, KeySpec: spec, KeyUsage: 'SIGN_VERIFY' }
    }
    const digest = Buffer.from(String(input.Message), 'base64')
    if (operation !== 'Sign' || input.MessageType !== 'DIGEST' || digest.length !== 32)
      return 'ValidationException'
    if (input.SigningAlgorithm !== ALGORITHMS[spec]) return 'ValidationException'
    return {
      KeyId: keyArn,
      Signature: signDigest(privateKey, digest).toString('base64'),
      SigningAlgorithm: input.SigningAlgorithm,
    }
  }
  const respond = async (incoming: IncomingMessage, reply: ServerResponse): Promise<void> => {
    const request = await requestOf(incoming)
    requests.push(request)
    const behaviour = decide(request, requests.length)
    if (behaviour === 'silent') return
    const answered = behaviour === 'answer' ? answerTo(request) : behaviour.error
    const status = behaviour === 'answer' ? (typeof answered === 'string' ? 400 : 200) : behaviour.status
    const body = typeof answered === 'string' ? { __type: answered, message: 'refused' } : answered
    reply.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify(body))
  }
  const server = createServer((incoming, reply) => void respond(incoming, reply))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    endpoint: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    keyArn,
    publicKey,
    requests,
    behave(next) {
      requests.length = 0
      decide = next
    },
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function keyPairOf(spec: KeySpec) {
  if (spec === 'RSA_2048') return generateKeyPairSync('rsa', { modulusLength: 2048 })
  return generateKeyPairSync('ec', { namedCurve: spec === 'ECC_NIST_P256' ? 'P-256' : 'P-384' })
}

/** `X-Amz-Target: TrentService.Sign`, and a body of JSON. */
async function requestOf(incoming: IncomingMessage): Promise<KmsRequest> {
  const operation = String(incoming.headers['x-amz-target']).replace('TrentService.', '')
  return { operation, input: JSON.parse(await text(incoming)) as Record<string, unknown> }
}
