import { randomUUID } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, readSync, readdirSync } from 'node:fs'
import { renameSync, rmSync, statSync } from 'node:fs'
import type { BigIntStats } from 'node:fs'
import { dirname, extname, join, relative, sep } from 'node:path'
import { type Body, type Checksums, S3Error, startChecksums } from './bodies.ts'

const CHUNK_BYTES = 64 * 1024
/** S3's own, for an object that was stored without one. */
const DEFAULT_CONTENT_TYPE = 'binary/octet-stream'

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.json': 'application/json',
  '.jsonl': 'application/x-ndjson',
}

type Description = Checksums & { contentType: string }

/** An object, as its file is now. */
export type S3Object = Description & { path: string; size: number; lastModified: Date }

/**
 * Buckets and objects as plain files: object `key` of `bucket` is `<dir>/<bucket>/<key>`. `known` describes
 * the files that this process has stored or read, each in one version: a file changed by hand is described
 * again, and the content type of a file that this process did not store follows from the ending of its key.
 */
export type ObjectFiles = { dir: string; known: Map<string, Description & { version: string }> }

/**
 * Opens the objects kept in `dir`, and removes the bodies that a killed server had not received completely.
 */
export function openObjectFiles(dir: string): ObjectFiles {
  rmSync(join(dir, '.new'), { recursive: true, force: true })
  mkdirSync(join(dir, '.new'), { recursive: true })
  return { dir, known: new Map() }
}

/** A new path for a body that is being received. */
export function newBodyPath({ dir }: ObjectFiles): string {
  return join(dir, '.new', randomUUID())
}

/** The folder of a bucket's objects. @throws S3Error InvalidBucketName */
export function bucketFolder({ dir }: ObjectFiles, bucket: string): string {
  if (/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket)) return join(dir, bucket)
  throw new S3Error(400, 'InvalidBucketName', `${JSON.stringify(bucket)} is not a valid bucket name.`)
}

/** Creates a bucket; does nothing when it exists. @throws S3Error InvalidBucketName */
export function createBucket(files: ObjectFiles, bucket: string): void {
  mkdirSync(bucketFolder(files, bucket), { recursive: true })
}

/** Removes all objects of a bucket. @throws S3Error InvalidBucketName */
export function emptyBucket(files: ObjectFiles, bucket: string): void {
  const folder = bucketFolder(files, bucket)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  for (const path of files.known.keys()) if (path.startsWith(folder + sep)) files.known.delete(path)
}

/** Finds an object; undefined when the bucket has none of that key. */
export function findObject(files: ObjectFiles, bucket: string, key: string): S3Object | undefined {
  const path = objectPath(files, bucket, key)
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false })
  if (!stats?.isFile()) return undefined
  const version = versionOf(stats)
  let known = files.known.get(path)
  if (known?.version !== version) {
    known = {
      version,
      contentType: CONTENT_TYPES[extname(key)] ?? DEFAULT_CONTENT_TYPE,
      ...checksumsOfFile(path, Number(stats.size)),
    }
    files.known.set(path, known)
  }
  const { etag, crc32, contentType } = known
  return { path, size: Number(stats.size), lastModified: stats.mtime, etag, crc32, contentType }
}

/**
 * Moves a received body into its place. A process killed at any point leaves the old object or the new one.
 * @throws Error when the file system does not take the path, such as that of `a/b` where `a` is an object
 */
export function storeObject(
  files: ObjectFiles,
  bucket: string,
  key: string,
  body: Body,
  contentType = DEFAULT_CONTENT_TYPE,
): void {
  const path = objectPath(files, bucket, key)
  mkdirSync(dirname(path), { recursive: true })
  renameSync(body.path, path)
  const version = versionOf(statSync(path, { bigint: true }))
  files.known.set(path, { version, contentType, etag: body.etag, crc32: body.crc32 })
}

/** Removes an object; does nothing when there is none. */
export function deleteObject(files: ObjectFiles, bucket: string, key: string): void {
  const path = objectPath(files, bucket, key)
  files.known.delete(path)
  rmSync(path, { force: true })
}

/** All keys of a bucket that start with `prefix`, in S3's order: by their UTF-8 bytes. */
export function listKeys(files: ObjectFiles, bucket: string, prefix: string): string[] {
  const root = bucketFolder(files, bucket)
  const folder = join(root, ...prefix.split('/').slice(0, -1).map(fileName))
  if (!existsSync(folder)) return []
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => keyOf(relative(root, join(entry.parentPath, entry.name))))
    .filter((key) => key.startsWith(prefix))
    .map((key) => ({ key, bytes: Buffer.from(key) }))
    .toSorted((a, b) => Buffer.compare(a.bytes, b.bytes))
    .map(({ key }) => key)
}

/** The bytes [from, to) of an open file. @throws Error when the file is shorter */
export function* readChunks(file: number, from: number, to: number): Generator<Buffer> {
  for (let at = from; at < to;) {
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, to - at))
    const bytes = readSync(file, chunk, 0, chunk.length, at)
    if (bytes === 0) throw new Error(`The file of an object ended at byte ${at} instead of ${to}.`)
    yield chunk.subarray(0, bytes)
    at += bytes
  }
}

function checksumsOfFile(path: string, size: number): Checksums {
  const sums = startChecksums()
  const file = openSync(path, 'r')
  try {
    for (const chunk of readChunks(file, 0, size)) sums.add(chunk)
  } finally {
    closeSync(file)
  }
  const { etag, crc32 } = sums.finish()
  return { etag, crc32 }
}

function versionOf({ ino, size, mtimeNs }: BigIntStats): string {
  return `${ino} ${size} ${mtimeNs}`
}

function objectPath(files: ObjectFiles, bucket: string, key: string): string {
  return join(bucketFolder(files, bucket), ...key.split('/').map(fileName))
}

/**
 * One part of a key as a file name: what a file system could read as something else is written as `%` and
 * hex.
 */
function fileName(part: string): string {
  if (part === '') return '%'
  if (part === '.' || part === '..') return part.replaceAll('.', '%2e')
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  return part.replaceAll(/[<>:"|?*\\%\u0000-\u001f]/g, (character) => {
    return `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
}

function keyOf(path: string): string {
  return path.split(sep).map(partOfKey).join('/')
}

function partOfKey(name: string): string {
  if (name === '%') return ''
  return name.replaceAll(/%([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}
