import { S3Error } from './bodies.ts'
import { findObject, listKeys, type ObjectFiles, type S3Object } from './objects.ts'

const MAX_KEYS = 1000

type Query = Readonly<Record<string, string | undefined>>

/** A key, or with `isGroup` what all keys of a group begin with, up to the delimiter. */
type Entry = { name: string; isGroup: boolean }

/** The XML that answers ListObjectsV2 with the parameters `query`. @throws S3Error InvalidArgument */
export function listXml(files: ObjectFiles, bucket: string, query: Query): string {
  const { prefix = '', delimiter = '', 'continuation-token': token } = query
  const after =
    token === undefined ? (query['start-after'] ?? '') : Buffer.from(token, 'base64url').toString()
  const maxKeys = maxKeysOf(query['max-keys'])
  const { entries, next } = pageOf(listKeys(files, bucket, prefix), prefix, delimiter, after, maxKeys)
  const nameElement = (tag: string, name: string) =>
    element(tag, query['encoding-type'] === 'url' ? urlEncoded(name) : name)
  const entryXml = ({ name, isGroup }: Entry) =>
    isGroup
      ? `<CommonPrefixes>${nameElement('Prefix', name)}</CommonPrefixes>`
      : `<Contents>${nameElement('Key', name)}${descriptionXml(findObject(files, bucket, name))}</Contents>`
  return [
    '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">',
    element('Name', bucket),
    nameElement('Prefix', prefix),
    element('KeyCount', String(entries.length)),
    element('MaxKeys', String(maxKeys)),
    element('IsTruncated', String(next !== undefined)),
    next === undefined ? '' : element('NextContinuationToken', Buffer.from(next).toString('base64url')),
    ...entries.map(entryXml),
    '</ListBucketResult>',
  ].join('')
}

/** An element with text, as in `<Key>a &amp; b</Key>`. */
export function element(tag: string, text: string): string {
  // oxlint-disable-next-line no-control-regex -- XML would change some control characters
  const escaped = text.replaceAll(/[&<>"\u0000-\u001f]/g, (character) => `&#${character.charCodeAt(0)};`)
  return `<${tag}>${escaped}</${tag}>`
}

/** A page of sorted keys. `next` is set when there are more. */
function pageOf(
  keys: readonly string[],
  prefix: string,
  delimiter: string,
  after: string,
  maxKeys: number,
): { entries: Entry[]; next: string | undefined } {
  const entries: Entry[] = []
  const afterBytes = Buffer.from(after)
  for (const key of keys) {
    const end = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length)
    const name = end < 0 ? key : key.slice(0, end + delimiter.length)
    const last = entries.at(-1)?.name
    if (name === last || name === after || Buffer.compare(Buffer.from(key), afterBytes) <= 0) continue
    if (entries.length === maxKeys) return { entries, next: last }
    entries.push({ name, isGroup: end >= 0 })
  }
  return { entries, next: undefined }
}

function maxKeysOf(parameter = String(MAX_KEYS)): number {
  const number = /^\d+$/.test(parameter) ? Number(parameter) : -1
  if (number >= 0) return Math.min(number, MAX_KEYS)
  throw new S3Error(400, 'InvalidArgument', `max-keys is ${parameter} instead of a number from 0 up.`)
}

function descriptionXml(object: S3Object | undefined): string {
  if (object === undefined) return ''
  return [
    element('LastModified', object.lastModified.toISOString()),
    element('ETag', object.etag),
    element('Size', String(object.size)),
    element('StorageClass', 'STANDARD'),
  ].join('')
}

/** As S3 does for `encoding-type=url`: like a form's field, except that `/` is kept. */
function urlEncoded(text: string): string {
  return new URLSearchParams({ '': text }).toString().slice(1).replaceAll('%2F', '/')
}
