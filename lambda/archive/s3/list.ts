import type { ListObjectsV2CommandOutput } from '@aws-sdk/client-s3'
import { request, type Store, unavailable } from './store.ts'

/** A key, and its object's size. */
export type Listed = { readonly key: string; readonly bytes: number }

/** All keys under a prefix with their sizes, in S3's order, 1,000 a request. @throws ArchiveUnavailable */
export async function* list(store: Store, prefix: string): AsyncGenerator<Listed> {
  for await (const page of listPages(store, { Prefix: prefix })) {
    for (const { Key, Size } of page.Contents ?? [])
      if (Key !== undefined) yield { key: Key, bytes: Size ?? 0 }
  }
}

/** The folders directly under a prefix that ends in `/`, in S3's order. @throws ArchiveUnavailable */
export async function* listFolders(store: Store, prefix: string): AsyncGenerator<string> {
  for await (const page of listPages(store, { Prefix: prefix, Delimiter: '/' })) {
    for (const { Prefix } of page.CommonPrefixes ?? []) if (Prefix !== undefined) yield Prefix
  }
}

async function* listPages(
  store: Store,
  what: { readonly Prefix: string; readonly Delimiter?: string },
): AsyncGenerator<ListObjectsV2CommandOutput> {
  let token: string | undefined
  do {
    const input = { Bucket: store.bucket, ...what, ContinuationToken: token }
    const page = await request(store, undefined, async ({ client, sdk }, { signal }) =>
      client.send(new sdk.ListObjectsV2Command(input), { abortSignal: signal }),
    ).catch((error: unknown) => {
      throw unavailable(store, `list ${what.Prefix}`, error)
    })
    yield page
    token = page.NextContinuationToken
  } while (token !== undefined)
}
