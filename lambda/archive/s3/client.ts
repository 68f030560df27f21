import type { S3Client, S3ClientConfig } from '@aws-sdk/client-s3'
import type * as sdk from './sdk.ts'

/** A client that reaches S3, and the commands that it sends. */
export type S3 = { readonly client: S3Client; readonly sdk: typeof sdk }

/** S3 from the first request on; until then its client is neither loaded nor made. */
export function connectS3(config: S3ClientConfig): {
  readonly s3: () => Promise<S3>
  /** Closes the client's connections. */
  readonly end: () => Promise<void>
} {
  let connected: Promise<S3> | undefined
  return {
    s3: async () => (connected ??= connectTo(config)),
    end: async () => (await connected)?.client.destroy(),
  }
}

async function connectTo(config: S3ClientConfig): Promise<S3> {
  const sdk = await import('./sdk.ts')
  return { sdk, client: new sdk.S3Client(config) }
}
