import { createHash } from 'node:crypto'
import type { GetObjectCommandOutput, ListObjectsV2CommandOutput, S3Client } from '@aws-sdk/client-s3'
import * as z from 'zod'
import { attemptOfKey } from '../../../lambda/archive/keys.ts'
import { parseKey, type PutResult, type TraceEvent } from './trace.ts'

/** The attempt whose intent was stored last for a user. */
export type AttemptOf = ReadonlyMap<string, string>

/**
 * Adds the requests of a client to `events`, as they are answered. Returns the attempts that it stores
 * intents of.
 */
export function recordS3(client: S3Client, events: TraceEvent[]): AttemptOf {
  const attempts = new Map<string, string>()
  client.middlewareStack.add(
    (next, { commandName }) =>
      async (args) => {
        const input = inputSchema.parse(args.input)
        const reply = next(args)
        switch (commandName) {
          case 'PutObjectCommand': {
            const bytes = z.instanceof(Uint8Array).parse(input.Body)
            noteAttempt(attempts, input.Key, bytes)
            const result = await reply.then(() => 'stored' as const, putResult)
            events.push({
              kind: 'put',
              key: input.Key,
              create: input.IfNoneMatch === '*',
              result,
              ...contentOf(input.Key, bytes),
            })
            break
          }
          case 'GetObjectCommand':
            await recordGet(input.Key, reply, events)
            break
          case 'ListObjectsV2Command':
            await recordList(input.Prefix, reply, events)
            break
          case undefined:
          default:
            throw new Error(`The recorder does not know ${String(commandName)}.`)
        }
        return reply
      },
    { step: 'initialize', name: 'record' },
  )
  return attempts
}

const inputSchema = z.object({
  Key: z.string().default(''),
  Prefix: z.string().default(''),
  Body: z.unknown().optional(),
  IfNoneMatch: z.string().optional(),
})

function noteAttempt(attempts: Map<string, string>, key: string, bytes: Uint8Array): void {
  const attempt = key.startsWith('intents/') ? attemptOfKey(key) : null
  if (attempt === null) return
  const [, ...users] = Buffer.from(bytes).toString().trim().split('\n')
  for (const user of users) attempts.set(userSchema.parse(JSON.parse(user)).user_id, attempt)
}

const userSchema = z.object({ user_id: z.string() })

function putResult(error: unknown): PutResult | 'lost' {
  const status = statusOf(error)
  return status === 412 ? 'precondition failed' : status === 409 ? 'conflict' : 'lost'
}

function statusOf(error: unknown): number | undefined {
  return failureSchema.safeParse(error).data?.$metadata.httpStatusCode
}

const failureSchema = z.object({ $metadata: z.object({ httpStatusCode: z.number().optional() }) })

/** The reply to a GET is there when its body has been read. */
async function recordGet(
  key: string,
  reply: Promise<{ output: object }>,
  events: TraceEvent[],
): Promise<void> {
  try {
    const { Body } = (await reply).output as GetObjectCommandOutput
    if (!Body) throw new Error('The reply has no body.')
    const read = Body.transformToByteArray.bind(Body)
    Body.transformToByteArray = async () => {
      const bytes = await read()
      events.push({ kind: 'get', key, result: 'found', ...contentOf(key, bytes) })
      return bytes
    }
  } catch (error) {
    events.push({ kind: 'get', key, result: statusOf(error) === 404 ? 'missing' : 'lost' })
  }
}

async function recordList(
  prefix: string,
  reply: Promise<{ output: object }>,
  events: TraceEvent[],
): Promise<void> {
  const output = await reply.then(
    (answered) => answered.output as ListObjectsV2CommandOutput,
    () => null,
  )
  const keys = (output?.Contents ?? []).flatMap(({ Key }) => Key ?? [])
  events.push({ kind: 'list', prefix, result: output ? 'found' : 'lost', keys })
}

function contentOf(key: string, bytes: Uint8Array): { readonly content: string; readonly body?: unknown } {
  if (bytes.length === 0) return { content: '' }
  const content = createHash('sha256').update(bytes).digest('hex')
  const schema = VIEWS[parseKey(key).object]
  return { content, ...(schema && { body: schema.parse(JSON.parse(Buffer.from(bytes).toString())) }) }
}

/** What the checker reads of each document, by the names of trace.ts. */
const VIEWS: Partial<Record<string, z.ZodType>> = {
  run: z
    .object({
      mode: z.string(),
      asked: z.object({ requestKey: z.string().nullable() }),
      settings: z.object({ concurrency: z.int() }),
      matched: z.object({ pages: z.int() }),
    })
    .transform(({ mode, asked, settings, matched }) => ({
      mode,
      requestKey: asked.requestKey,
      concurrency: settings.concurrency,
      pagesTotal: matched.pages,
    })),
  cursor: z
    .object({
      state: z.string(),
      lease: z.object({}).nullable(),
      epoch: z.int(),
      pages: z.array(z.object({ page: z.int(), epoch: z.int() })),
      emptiedBelowEpoch: z.int(),
    })
    .transform(({ state, lease, epoch, pages, emptiedBelowEpoch }) => ({
      state,
      lease,
      epoch,
      named: pages,
      emptiedBelow: emptiedBelowEpoch,
    })),
  writer: z.object({ runId: z.string().nullable() }),
  mark: z.object({ runId: z.string() }),
  card: z.object({ status: z.string() }),
}
