import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import { setTimeout } from 'node:timers/promises'
import { crc32 } from 'node:zlib'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readBytes, readInTurn, type Store } from '../../lambda/archive/store.ts'
import { clientFor } from '../support/bucket.ts'

/** More than the sockets on both sides hold: an answer that nobody reads is not over for the server. */
const BODY = Buffer.alloc(16_000_000, 'a line\n')
const CHECKSUM = Buffer.alloc(4)
CHECKSUM.writeUInt32BE(crc32(BODY))

let server: Server
let store: Store
let asked: string[]
/** Answers that have been begun, and are neither over nor given up. */
let answering: Set<ServerResponse>

/** Answers every object with the same body, but cuts the connection in the middle of `cut` and `cut-early`. */
beforeEach(async () => {
  asked = []
  // Of this test alone: answers of the one before may close later than it ends.
  const open = (answering = new Set<ServerResponse>())
  server = createServer((request, response) => {
    const key = new URL(request.url ?? '', 'http://s3').pathname.split('/').at(-1) ?? ''
    asked.push(key)
    open.add(response)
    response.on('close', () => open.delete(response))
    response.writeHead(200, {
      'content-length': BODY.length,
      etag: '"e"',
      'x-amz-checksum-crc32': CHECKSUM.toString('base64'),
    })
    if (!key.startsWith('cut')) response.end(BODY)
    // Less than fills the buffers on the way is seen to be cut off at once, more of it only when it is read.
    else
      response.write(BODY.subarray(0, key === 'cut-early' ? 20_000 : 200_000), () =>
        response.socket?.destroy(),
      )
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  store = { client: clientFor(`http://127.0.0.1:${port}`, { maxAttempts: 1 }), bucket: 'bucket' }
})

afterEach(async () => {
  store.client.destroy()
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
})

/** Reads objects one after the other, slowly, so that those behind wait for their turn with their answers begun. */
async function readSlowly(keys: string[], read: string[]): Promise<void> {
  for await (const { key, bytes } of readInTurn(store, keys)) {
    await setTimeout(50)
    let length = 0
    for await (const chunk of bytes) length += chunk.length
    read.push(`${key}: ${length}`)
  }
}

test('objects come in the order asked for, each whole, with the next few asked for ahead', async () => {
  const read: string[] = []
  const keys = Array.from({ length: 9 }, (_, n) => `key-${n}`)
  await readSlowly(keys, read)
  expect(read).toEqual(keys.map((key) => `${key}: 16000000`))
  expect(asked.toSorted()).toEqual(keys)
})

test('an answer that is cut off is an error that names the object', async () => {
  const read = async (): Promise<void> => {
    for await (const chunk of readBytes(store, 'cut')) void chunk
  }
  await expect(read()).rejects.toMatchObject({
    name: 'ArchiveUnavailable',
    message: expect.stringContaining('cut'),
  })
})

test.each(['cut', 'cut-early'])(
  'so is one that is cut off while it waits for its turn, when that comes, and not before: %s',
  async (cut) => {
    const read: string[] = []
    await expect(readSlowly(['key-0', 'key-1', cut, 'key-3'], read)).rejects.toMatchObject({
      name: 'ArchiveUnavailable',
      message: expect.stringContaining(cut),
    })
    expect(read).toEqual(['key-0: 16000000', 'key-1: 16000000'])
  },
)

test('whoever stops in the middle leaves no answer unread behind', async () => {
  for await (const { bytes } of readInTurn(store, ['key-0', 'key-1', 'key-2', 'cut'])) {
    for await (const chunk of bytes) if (chunk.length > 0) break
    break
  }
  await expect
    .poll(() => ({ asked: asked.length, answering: answering.size }), { timeout: 10_000 })
    .toEqual({ asked: 4, answering: 0 })
})
