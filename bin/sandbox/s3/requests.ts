import { existsSync, openSync } from 'node:fs'
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'
import { type Body, S3Error } from './bodies.ts'
import { element, listXml } from './list.ts'
import {
  bucketFolder,
  createBucket,
  deleteObject,
  findObject,
  type ObjectFiles,
  readChunks,
  type S3Object,
  storeObject,
} from './objects.ts'

/**
 * One request to a bucket; `number` counts the bucket's requests from 1, since the start or the last
 * `setHooks`.
 */
export type S3Request = {
  number: number
  method: string
  bucket: string
  /** Empty for a request to the bucket itself. */
  key: string
  query: Readonly<Record<string, string | undefined>>
  /** The length of the request's body. */
  bytes: number
}

/**
 * An answer that is ready to be sent. `file` is an open file that must be closed, whether it is sent or not.
 */
export type Answer = {
  status: number
  headers: OutgoingHttpHeaders
  body: Iterable<Buffer>
  length: number
  file?: number
}

/** Reads a request's path and query, of `/<bucket>/<key>?<query>`. @throws S3Error InvalidURI */
export function readTarget(url: string): Pick<S3Request, 'bucket' | 'key' | 'query'> {
  // Not `new URL()`, which would resolve `..` in a key.
  const [, bucket = '', key = '', search = ''] = /^\/([^/?]*)\/?([^?]*)\??(.*)$/.exec(url) ?? []
  try {
    const query = Object.fromEntries(new URLSearchParams(search))
    return { bucket: decodeURIComponent(bucket), key: decodeURIComponent(key), query }
  } catch (cause) {
    throw new S3Error(400, 'InvalidURI', `The path of ${url} is not valid.`, { cause })
  }
}

/**
 * Carries out a request, and returns its answer, also where that is a refusal. It does so synchronously:
 * nothing happens between checking a condition and writing.
 */
export function answerTo(
  files: ObjectFiles,
  request: S3Request,
  headers: IncomingHttpHeaders,
  body: Body | undefined,
): Answer {
  try {
    return carryOut(files, request, headers, body)
  } catch (error) {
    return refusal(error)
  }
}

/** The answer to a request that failed with `error`: as S3 refuses it, or InternalError. */
export function refusal(error: unknown): Answer {
  const { status, code, message } =
    error instanceof S3Error ? error : { status: 500, code: 'InternalError', message: String(error) }
  return xmlAnswer(status, `<Error>${element('Code', code)}${element('Message', message)}</Error>`)
}

function carryOut(
  files: ObjectFiles,
  request: S3Request,
  headers: IncomingHttpHeaders,
  body: Body | undefined,
): Answer {
  refuseUnsupported(request, headers)
  const { method, bucket, key, query } = request
  if (method === 'PUT' && key === '') {
    createBucket(files, bucket)
    return withoutBody(200)
  }
  if (!existsSync(bucketFolder(files, bucket))) {
    throw new S3Error(404, 'NoSuchBucket', `The bucket ${bucket} does not exist.`)
  }
  if (key === '') return method === 'GET' ? xmlAnswer(200, listXml(files, bucket, query)) : withoutBody(200)
  if (body !== undefined) return putAnswer(files, bucket, key, headers, body)
  if (method !== 'DELETE') return getAnswer(files, request, headers)
  deleteObject(files, bucket, key)
  return withoutBody(204)
}

function withoutBody(status: number, headers: OutgoingHttpHeaders = {}): Answer {
  return { status, headers, body: [], length: 0 }
}

function xmlAnswer(status: number, xml: string): Answer {
  const body = Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>\n${xml}`)
  return { status, headers: { 'content-type': 'application/xml' }, body: [body], length: body.length }
}

const LIST_PARAMETERS = [
  'list-type',
  'prefix',
  'delimiter',
  'start-after',
  'continuation-token',
  'max-keys',
  'encoding-type',
]

function refuseUnsupported({ method, key, query }: S3Request, headers: IncomingHttpHeaders): void {
  const isList = method === 'GET' && key === ''
  const isSupported = (parameter: string) =>
    parameter === 'x-id' || (isList && LIST_PARAMETERS.includes(parameter))
  const unsupported = [
    ...(['PUT', 'GET', 'HEAD', key === '' ? '' : 'DELETE'].includes(method) ? [] : [method]),
    ...Object.keys(query).filter((parameter) => !isSupported(parameter)),
    ...Object.keys(headers).filter(
      (name) =>
        name === 'x-amz-copy-source' || (name.startsWith('if-') && !isSupportedCondition(method, name)),
    ),
    ...(isList && query['list-type'] !== '2' ? ['listings other than list-type=2'] : []),
  ]
  if (unsupported.length === 0) return
  throw new S3Error(501, 'NotImplemented', `This server does not support ${unsupported.join(', ')}.`)
}

function isSupportedCondition(method: string, name: string): boolean {
  return method === 'PUT' || (method === 'GET' && name === 'if-match')
}

function putAnswer(
  files: ObjectFiles,
  bucket: string,
  key: string,
  headers: IncomingHttpHeaders,
  body: Body,
): Answer {
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = headers
  if (ifMatch !== undefined || ifNoneMatch !== undefined) {
    checkConditions(ifMatch, ifNoneMatch, findObject(files, bucket, key))
  }
  storeObject(files, bucket, key, body, headers['content-type'])
  return withoutBody(200, { etag: body.etag, ...checksumHeaders(body.crc32) })
}

/** Source: Amazon S3 user guide, "Add preconditions to S3 operations with conditional requests". */
function checkConditions(
  ifMatch: string | undefined,
  ifNoneMatch: string | undefined,
  object: S3Object | undefined,
): void {
  if (ifNoneMatch !== undefined && ifNoneMatch !== '*') {
    throw new S3Error(501, 'NotImplemented', 'S3 supports no If-None-Match other than * for writes.')
  }
  if (ifNoneMatch === '*' && object !== undefined) {
    throw new S3Error(412, 'PreconditionFailed', 'If-None-Match: * does not hold: the object exists.')
  }
  if (ifMatch === undefined) return
  if (object === undefined) throw noSuchKey()
  if (ifMatch.replaceAll('"', '') === object.etag.replaceAll('"', '')) return
  throw new S3Error(412, 'PreconditionFailed', `If-Match does not hold: the ETag is ${object.etag}.`)
}

function getAnswer(
  files: ObjectFiles,
  { method, bucket, key }: S3Request,
  headers: IncomingHttpHeaders,
): Answer {
  const object = findObject(files, bucket, key)
  if (object === undefined) throw noSuchKey()
  checkConditions(headers['if-match'], undefined, object)
  const range = rangeOf(headers.range, object.size)
  const { from, to } = range ?? { from: 0, to: object.size }
  const withChecksum = range === undefined && headers['x-amz-checksum-mode'] === 'ENABLED'
  const answer = {
    status: range === undefined ? 200 : 206,
    headers: {
      etag: object.etag,
      'content-type': object.contentType,
      'last-modified': object.lastModified.toUTCString(),
      'accept-ranges': 'bytes',
      ...(range && { 'content-range': `bytes ${from}-${to - 1}/${object.size}` }),
      ...(withChecksum && checksumHeaders(object.crc32)),
    },
    length: to - from,
  }
  if (method === 'HEAD') return { ...answer, body: [] }
  // Opened now: a write that replaces the object before this answer is sent does not change what is sent.
  const file = openSync(object.path, 'r')
  return { ...answer, body: readChunks(file, from, to), file }
}

function noSuchKey(): S3Error {
  return new S3Error(404, 'NoSuchKey', 'The object does not exist.')
}

function checksumHeaders(crc32: string): OutgoingHttpHeaders {
  return { 'x-amz-checksum-crc32': crc32, 'x-amz-checksum-type': 'FULL_OBJECT' }
}

/**
 * The bytes [from, to) that a Range header asks for; undefined for none, or for one that HTTP allows to
 * ignore.
 */
function rangeOf(header: string | undefined, size: number): { from: number; to: number } | undefined {
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? []
  if (first === '' && last === '') return undefined
  const from = first === '' ? Math.max(0, size - Number(last)) : Number(first)
  const to = first === '' || last === '' ? size : Math.min(size, Number(last) + 1)
  if (from < to) return { from, to }
  throw new S3Error(416, 'InvalidRange', `The object has ${size} bytes, and the request asks for ${header}.`)
}
