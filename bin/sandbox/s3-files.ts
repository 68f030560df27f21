import { createHash, randomUUID } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import type { S3Object, S3Persistence, S3Store } from './fauxqs.ts'

/** What a data file cannot say about its object. */
type Meta = Omit<S3Object, 'key' | 'body' | 'contentLength' | 'lastModified'> & {
  lastModified: string
  md5: string
}

/**
 * Where the objects of `bucket` lie as plain files, each under its key. A key and the same key with `/` and more behind
 * it cannot both be kept: the second is refused as an internal error.
 */
export function objectsFolder(dir: string, bucket: string): string {
  return join(dir, bucket)
}

/**
 * Keeps a store's buckets and objects in `dir` and loads what is there. An object is there once its data file has been
 * renamed into place, so that a process killed at any point leaves the old object or the new one, never a mixture.
 * Unfinished multipart uploads live in memory only.
 */
export function keepInFiles(store: S3Store, dir: string): void {
  mkdirSync(join(dir, '.meta'), { recursive: true })
  rmSync(join(dir, '.new'), { recursive: true, force: true })
  mkdirSync(join(dir, '.new'))
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (!entry.isDirectory() || entry.name.startsWith('.')) continue
    store.createBucket(entry.name)
    for (const path of filesIn(join(dir, entry.name)))
      store.restoreObject(entry.name, load(dir, entry.name, path))
  }
  store.persistence = filePersistence(dir)
}

function filePersistence(dir: string): S3Persistence {
  const dataPath = (bucket: string, key: string) => join(objectsFolder(dir, bucket), pathOf(key))
  const emptyBucket = (bucket: string) => {
    removeBucket(bucket)
    mkdirSync(objectsFolder(dir, bucket), { recursive: true })
  }
  const removeBucket = (bucket: string) => {
    rmSync(objectsFolder(dir, bucket), { recursive: true, force: true })
    rmSync(join(dir, '.meta', bucket), { recursive: true, force: true })
  }
  const upsertObject = (bucket: string, object: S3Object) => {
    const { key, body, contentLength: _, lastModified, ...rest } = object
    const meta: Meta = { ...rest, lastModified: lastModified.toISOString(), md5: md5(body) }
    replaceFile(dir, metaPath(dir, bucket, pathOf(key)), JSON.stringify(meta))
    replaceFile(dir, dataPath(bucket, key), body)
  }
  const deleteObject = (bucket: string, key: string) => {
    rmSync(dataPath(bucket, key), { force: true })
    rmSync(metaPath(dir, bucket, pathOf(key)), { force: true })
  }
  return {
    insertBucket: (name) => mkdirSync(objectsFolder(dir, name), { recursive: true }),
    deleteBucket: removeBucket,
    upsertObject,
    deleteObject,
    deleteObjectsByBucket: emptyBucket,
    readBody: (bucket, key) => readFileSync(dataPath(bucket, key)),
    completeMultipartUpload: (_uploadId, bucket, object) => upsertObject(bucket, object),
    insertMultipartUpload: notKept,
    upsertMultipartPart: notKept,
    deleteMultipartUpload: notKept,
    deleteAllMultipartUploads: notKept,
    close: notKept,
    saveBucketLifecycleConfiguration: notKept,
    deleteBucketLifecycleConfiguration: notKept,
    deleteAllObjects: notOffered,
    renameObject: notOffered,
    loadS3: notOffered,
    purgeAll: notOffered,
  }
}

function notKept(): void {}

function notOffered(): never {
  throw new Error('The sandbox S3 server does not offer this operation.')
}

function load(dir: string, bucket: string, path: string): S3Object {
  const dataFile = join(objectsFolder(dir, bucket), path)
  const body = readFileSync(dataFile)
  const found = readMeta(metaPath(dir, bucket, path))
  // A description of other content is from a process that was killed between writing the two files.
  const meta = found?.md5 === md5(body) ? found : undefined
  const {
    md5: _,
    lastModified,
    ...rest
  } = meta ?? {
    etag: `"${md5(body)}"`,
    contentType: 'application/octet-stream',
    metadata: {},
    lastModified: statSync(dataFile).mtime.toISOString(),
    md5: '',
  }
  return {
    ...rest,
    key: keyOf(path),
    body: Buffer.alloc(0),
    contentLength: body.length,
    lastModified: new Date(lastModified),
  }
}

function readMeta(path: string): Meta | undefined {
  if (!existsSync(path)) return undefined
  const meta: Meta = JSON.parse(readFileSync(path, 'utf8'))
  return meta
}

function replaceFile(dir: string, path: string, content: string | Buffer): void {
  const unfinished = join(dir, '.new', randomUUID())
  writeFileSync(unfinished, content)
  mkdirSync(dirname(path), { recursive: true })
  renameSync(unfinished, path)
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
}

function metaPath(dir: string, bucket: string, path: string): string {
  return join(dir, '.meta', bucket, `${path}.json`)
}

function pathOf(key: string): string {
  return key.split('/').map(segmentOf).join(sep)
}

function segmentOf(part: string): string {
  if (part === '') return '%'
  if (part === '.' || part === '..') return part.replaceAll('.', '%2e')
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  return part.replaceAll(/[<>:"|?*\\%\u0000-\u001f]/g, (character) => {
    return `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
}

function keyOf(path: string): string {
  return path
    .split(sep)
    .map((segment) => (segment === '%' ? '' : decodeURIComponent(segment)))
    .join('/')
}

function md5(content: Buffer): string {
  return createHash('md5').update(content).digest('hex')
}
