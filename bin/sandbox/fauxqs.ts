import { readFile } from 'node:fs/promises'
import { findPackageJSON } from 'node:module'
import { pathToFileURL } from 'node:url'
import type { buildApp } from 'fauxqs'

/** The one version whose insides this folder knows. */
const KNOWN_VERSION = '2.4.1'

type Stores = NonNullable<NonNullable<Parameters<typeof buildApp>[0]>['stores']>

/** fauxqs' object store: buckets and objects in memory, bodies in `persistence` if that is set. */
export type S3Store = Stores['s3Store']
export type S3Persistence = NonNullable<S3Store['persistence']>
export type S3Object = Parameters<S3Persistence['upsertObject']>[1]

/**
 * Makes the stores that `buildApp()` takes. fauxqs does not export their classes, so they are imported by URL, which
 * is why its version is checked here.
 * Throws an Error when another version of fauxqs is installed.
 */
export async function newStores(): Promise<Stores> {
  const manifestPath = findPackageJSON('fauxqs', import.meta.url)
  if (manifestPath === undefined) throw new Error('fauxqs is not installed: run npm ci.')
  const manifest: { version: string } = JSON.parse(await readFile(manifestPath, 'utf8'))
  if (manifest.version !== KNOWN_VERSION) {
    throw new Error(
      `The sandbox's S3 server needs fauxqs ${KNOWN_VERSION} exactly, but ${manifest.version} is installed: ` +
        'run npm ci, or look through bin/sandbox/fauxqs.ts for the new version.',
    )
  }
  const urlOf = (file: string) => new URL(`dist/${file}`, pathToFileURL(manifestPath)).href
  const sqs: { SqsStore: new () => Stores['sqsStore'] } = await import(urlOf('sqs/sqsStore.js'))
  const sns: { SnsStore: new () => Stores['snsStore'] } = await import(urlOf('sns/snsStore.js'))
  const s3: { S3Store: new () => S3Store } = await import(urlOf('s3/s3Store.js'))
  const s3Store = new s3.S3Store()
  listInOneOrder(s3Store)
  return { sqsStore: new sqs.SqsStore(), snsStore: new sns.SnsStore(), s3Store }
}

/**
 * fauxqs sorts keys by locale but continues a listing by code unit, so that pages of a listing lose or repeat keys.
 * Here both go by code unit, which is S3's order (UTF-8 bytes) for all characters of the basic plane.
 */
function listInOneOrder(store: S3Store): void {
  const listAll = store.listObjects.bind(store)
  store.listObjects = (bucket, options = {}) => {
    const { prefix = '', delimiter = '', maxKeys = 1000, startAfter = options.marker ?? '' } = options
    const objects: S3Object[] = []
    const groups = new Set<string>()
    const page = (isTruncated: boolean) => ({ objects, commonPrefixes: [...groups], isTruncated })
    for (const object of listAll(bucket, { prefix, maxKeys: Number.MAX_SAFE_INTEGER }).objects.toSorted(
      byKey,
    )) {
      if (object.key <= startAfter) continue
      const end = delimiter === '' ? -1 : object.key.indexOf(delimiter, prefix.length)
      const group = end < 0 ? undefined : object.key.slice(0, end + delimiter.length)
      if (group !== undefined && (groups.has(group) || group === startAfter)) continue
      if (objects.length + groups.size >= maxKeys) return page(true)
      if (group === undefined) objects.push(object)
      else groups.add(group)
    }
    return page(false)
  }
}

function byKey(a: S3Object, b: S3Object): number {
  return a.key < b.key ? -1 : 1
}
