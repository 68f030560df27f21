/**
 * The recorded requests of one invocation, in the order of their replies: what `checkTrace` reads. The model
 * records them of itself; a recorder around the S3 client and the database connection makes them of a real
 * run.
 */

export type PutResult = 'stored' | 'precondition failed' | 'conflict'
export type Statement = 'read' | 'clock' | 'lock' | 'write' | 'check lease' | 'commit' | 'find rows'

/** No reply, a time-out, a lost connection: `lost`. A COMMIT or a check that answered otherwise: `failed`. */
export type TraceEvent =
  | {
      readonly kind: 'put'
      readonly key: string
      /** If-None-Match: `*`. Otherwise If-Match. */
      readonly create: boolean
      readonly result: PutResult | 'lost'
      /** Equal for equal bytes, a hash for example; '' for an empty object. */
      readonly content: string
      /** Of documents: one of the views below. */
      readonly body?: unknown
    }
  | {
      readonly kind: 'get'
      readonly key: string
      readonly result: 'found' | 'missing' | 'lost'
      readonly content?: string
      readonly body?: unknown
    }
  | {
      readonly kind: 'list'
      readonly prefix: string
      readonly result: 'found' | 'lost'
      readonly keys: readonly string[]
    }
  | {
      readonly kind: 'sql'
      readonly statement: Statement
      /** `<page>-<epoch>-<n>` of the attempt that a write, a check, a commit belongs to. */
      readonly attempt?: string
      readonly result: 'done' | 'failed' | 'lost'
    }

/** What is read of the documents: fields by the names of 2-run-protocol. */
export type RunView = {
  readonly mode: string
  readonly requestKey: string | null
  readonly concurrency: number
  readonly pagesTotal: number
}
export type CursorView = {
  readonly state: 'prepared' | 'open' | 'closing' | 'closed'
  /** Null once it is released. */
  readonly lease: unknown
  readonly epoch: number
  readonly named: readonly { readonly page: number; readonly epoch: number }[]
  readonly emptiedBelow: number
}
export type WriterView = { readonly runId: string | null }
export type MarkView = { readonly runId: string }
export type CardView = { readonly status: string }

type Sent = {
  readonly kind: 'put' | 'get' | 'list' | 'sql' | 'wait'
  readonly name: string
  readonly attempt?: string | null
  readonly body?: { readonly etag: string }
  readonly create?: boolean
}

/** The event of a request of the model and its reply; no reply where that is undefined. */
export function eventOf({ kind, name, attempt, body, create }: Sent, reply: unknown): TraceEvent {
  const lost = reply === undefined
  switch (kind) {
    case 'put': {
      const result = lost ? 'lost' : (reply as PutResult)
      return { kind, key: name, create: create === true, result, content: body?.etag ?? '', body }
    }
    case 'get': {
      const found = reply as { readonly etag: string } | null | undefined
      if (!found) return { kind, key: name, result: lost ? 'lost' : 'missing' }
      return { kind, key: name, result: 'found', content: found.etag, body: found }
    }
    case 'list': {
      const keys = (reply ?? []) as readonly string[]
      return { kind, prefix: name, result: lost ? 'lost' : 'found', keys }
    }
    case 'sql':
    case 'wait': {
      const result = lost ? 'lost' : reply === false ? 'failed' : 'done'
      return { kind: 'sql', statement: name as Statement, ...(attempt && { attempt }), result }
    }
  }
}

export type ObjectName =
  | { readonly object: 'writer' | 'other' }
  | { readonly object: 'mark'; readonly requestKey: string }
  | { readonly object: 'run' | 'cursor' | 'card' | 'manifest' | 'closed run'; readonly runId: string }
  | {
      readonly object: 'intent'
      readonly runId: string
      readonly page: number
      readonly epoch: number
      readonly attempt: string
    }
  | {
      readonly object: 'part'
      readonly runId: string
      readonly page: number
      readonly epoch: number
      readonly kind: string
    }

const RUN_FILES = {
  run: 'run',
  cursor: 'cursor',
  summary: 'card',
  manifest: 'manifest',
} as const

/** Which object of 3-contract, "The bucket", a key names. */
export function parseKey(key: string): ObjectName {
  if (key === 'control/writer.json') return { object: 'writer' }
  const requestKey = /^control\/requests\/(?:dry-run\/)?([^/]+)\.json$/.exec(key)?.[1]
  if (requestKey !== undefined) return { object: 'mark', requestKey }
  const [, runId = '', file] = /^runs\/([^/]+)\/(run|cursor|summary|manifest)\.json$/.exec(key) ?? []
  if (file !== undefined) return { object: RUN_FILES[file as keyof typeof RUN_FILES], runId }
  const closed = /^logs\/runs\/([^/]+)\.jsonl$/.exec(key)?.[1]
  if (closed !== undefined) return { object: 'closed run', runId: closed }
  const intent = /^intents\/([^/]+)\/((\d+)-(\d+)-\d+)\.jsonl$/.exec(key)
  if (intent) {
    const [, of = '', attempt = '', page, epoch] = intent
    return { object: 'intent', runId: of, page: Number(page), epoch: Number(epoch), attempt }
  }
  const part = /^logs\/(users|mutations|errors)\/([^/]+)\/(\d+)-(\d+)\.jsonl$/.exec(key)
  if (!part) return { object: 'other' }
  const [, kind = '', of = '', page, epoch] = part
  return { object: 'part', runId: of, page: Number(page), epoch: Number(epoch), kind }
}

/** The page whose intents begin with a prefix, or null. */
export function pageOfPrefix(prefix: string): number | null {
  const page = /^intents\/[^/]+\/(\d+)-$/.exec(prefix)?.[1]
  return page === undefined ? null : Number(page)
}

/** The run whose objects begin with a prefix, or null. */
export function runOfPrefix(prefix: string): string | null {
  return /^(?:intents|runs|logs\/[a-z]+)\/([^/]+)\//.exec(prefix)?.[1] ?? null
}
