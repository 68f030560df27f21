import { createHash } from 'node:crypto'
import { closeSync, openSync, writeFileSync } from 'node:fs'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import zlib from 'node:zlib'

/** A refusal as S3 gives it: the HTTP status, and the code that the AWS SDK uses as the error's name. */
export class S3Error extends Error {
  override readonly name = 'S3Error'
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.status = status
    this.code = code
  }
}

/** The ETag, which is the MD5 in hex and in quotes, and the CRC-32 in base64. */
export type Checksums = { etag: string; crc32: string }

/** The hash of the body that a request was signed with, in hex, or a word such as UNSIGNED-PAYLOAD. */
const SIGNED_HASH = 'x-amz-content-sha256'

/** A completely received and verified body, in a file of its own. */
export type Body = Checksums & { path: string }

/**
 * Computes the checksums of the chunks that are added. `byHeader` has each under its header's name, in the form
 * that it has there.
 */
export function startChecksums(withSha256 = false): {
  add: (chunk: Uint8Array) => void
  finish: () => Checksums & { byHeader: Readonly<Record<string, string | undefined>> }
} {
  const md5 = createHash('md5')
  const sha256 = withSha256 ? createHash('sha256') : undefined
  let crc = 0
  return {
    add: (chunk) => {
      md5.update(chunk)
      sha256?.update(chunk)
      crc = zlib.crc32(chunk, crc)
    },
    finish: () => {
      const digest = md5.digest()
      const crcBytes = Buffer.alloc(4)
      crcBytes.writeUInt32BE(crc)
      const crc32 = crcBytes.toString('base64')
      const sha256Digest = sha256?.digest()
      const byHeader = {
        'content-md5': digest.toString('base64'),
        'x-amz-checksum-crc32': crc32,
        'x-amz-checksum-sha256': sha256Digest?.toString('base64'),
        [SIGNED_HASH]: sha256Digest?.toString('hex'),
      }
      return { etag: `"${digest.toString('hex')}"`, crc32, byHeader }
    },
  }
}

/**
 * Writes the body of a request into the new file `path`, and verifies the length and the checksums that the
 * request names in its headers or trailers.
 * @throws S3Error when they differ, and Error when the client disconnects before the end
 */
export async function receiveBody(request: IncomingMessage, path: string): Promise<Body> {
  const { headers } = request
  const length = headers['x-amz-decoded-content-length']?.toString() ?? headers['content-length']
  if (length === undefined) throw new S3Error(411, 'MissingContentLength', 'The body has no length.')
  const expected = expectedChecksums(headers)
  const sums = startChecksums(expected.has('x-amz-checksum-sha256') || expected.has(SIGNED_HASH))
  const isChunked = headers[SIGNED_HASH]?.toString().startsWith('STREAMING-')
  let received = 0
  const file = openSync(path, 'wx')
  try {
    for await (const chunk of isChunked ? decodeChunks(request, expected) : request) {
      sums.add(chunk)
      writeFileSync(file, chunk)
      received += chunk.length
    }
  } finally {
    closeSync(file)
  }
  if (received !== Number(length)) {
    throw new S3Error(400, 'IncompleteBody', `The body has ${received} bytes instead of ${length}.`)
  }
  const { etag, crc32, byHeader } = sums.finish()
  for (const [name, value] of expected) verify(name, value, byHeader[name])
  return { path, etag, crc32 }
}

/** The checksums in a request's headers, as they are there. One whose trailer is still to come is empty. */
function expectedChecksums(headers: IncomingHttpHeaders): Map<string, string> {
  const expected = new Map<string, string>()
  for (const [name, value] of Object.entries(headers)) {
    if (/^(content-md5|x-amz-checksum-(?!mode|type|algorithm).*)$/.test(name))
      expected.set(name, String(value))
  }
  const signed = headers[SIGNED_HASH]
  if (typeof signed === 'string' && /^[0-9a-f]{64}$/.test(signed)) expected.set(SIGNED_HASH, signed)
  const trailer = headers['x-amz-trailer']
  if (trailer !== undefined) expected.set(String(trailer).toLowerCase(), '')
  return expected
}

function verify(name: string, expected: string, computed: string | undefined): void {
  if (computed === undefined) throw new S3Error(501, 'NotImplemented', `This server cannot verify ${name}.`)
  if (computed === expected) return
  const code = name === SIGNED_HASH ? 'XAmzContentSHA256Mismatch' : 'BadDigest'
  throw new S3Error(400, code, `${name} of the body is ${computed}, and the request says ${expected}.`)
}

/**
 * Decodes the AWS SDK's chunks of a stream (`<size in hex>[;signature]`, the bytes, and at the end a chunk of
 * size 0 with trailers). Adds the trailers to `trailers`. Source: Amazon S3 API reference, "Signature
 * calculations: chunked uploads".
 * @throws S3Error when the last chunk is missing or a size is not a number
 */
async function* decodeChunks(
  request: IncomingMessage,
  trailers: Map<string, string>,
): AsyncGenerator<Buffer> {
  let buffered: Buffer = Buffer.alloc(0)
  let dataLeft = 0
  let inTrailers = false
  // destroyOnReturn: false, since a refusal must not cut the connection before its answer is sent.
  for await (const bytes of request.iterator({ destroyOnReturn: false })) {
    buffered = buffered.length === 0 ? bytes : Buffer.concat([buffered, bytes])
    while (buffered.length > 0) {
      if (dataLeft > 0) {
        const data = buffered.subarray(0, dataLeft)
        dataLeft -= data.length
        buffered = buffered.subarray(data.length)
        yield data
        continue
      }
      const end = buffered.indexOf('\r\n')
      if (end < 0) break
      const line = buffered.toString('latin1', 0, end)
      buffered = buffered.subarray(end + 2)
      if (inTrailers && line === '') return
      if (inTrailers) addTrailer(trailers, line)
      else if (line !== '') {
        dataLeft = chunkSize(line)
        inTrailers = dataLeft === 0
      }
    }
  }
  throw new S3Error(400, 'IncompleteBody', 'The body ends before its last chunk.')
}

function chunkSize(line: string): number {
  const [, hex] = /^([0-9a-f]{1,8})(;|$)/i.exec(line) ?? []
  if (hex !== undefined) return Number.parseInt(hex, 16)
  throw new S3Error(400, 'InvalidChunkSizeError', `${JSON.stringify(line)} is not the size of a chunk.`)
}

function addTrailer(trailers: Map<string, string>, line: string): void {
  const [name = '', ...value] = line.split(':')
  // The signature of the trailers, like all others, is not checked.
  if (name !== 'x-amz-trailer-signature') trailers.set(name.toLowerCase(), value.join(':').trim())
}
