export type PutResult = 'stored' | 'precondition failed' | 'conflict'
export type Statement = 'read' | 'clock' | 'lock' | 'write' | 'check lease' | 'commit' | 'find rows'
export type TraceEvent =
  | {
      readonly kind: 'put'
      readonly key: string
      /** If-None-Match: `*`. Otherwise If-Match. */
      readonly create: boolean
      readonly result: PutResult | 'lost'
      readonly body?: unknown
    }
  | {
      readonly kind: 'get'
      readonly key: string
      readonly result: 'found' | 'missing' | 'lost'
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
      readonly attempt?: string
      readonly result: 'done' | 'failed' | 'lost'
    }

type Sent = {
  readonly kind: 'put' | 'get' | 'list' | 'sql' | 'wait'
  readonly name: string
  readonly attempt?: string | null
  readonly body?: unknown
  readonly create?: boolean
}

/** The event of a request of the model and its reply; no reply where it is undefined. */
export function eventOf({ kind, name, attempt, body, create }: Sent, reply: unknown): TraceEvent {
  const lost = reply === undefined
  switch (kind) {
    case 'put':
      return { kind, key: name, create: create === true, result: lost ? 'lost' : (reply as PutResult), body }
    case 'get':
      return { kind, key: name, result: lost ? 'lost' : reply ? 'found' : 'missing', body: reply }
    case 'list':
      return { kind, prefix: name, result: lost ? 'lost' : 'found', keys: (reply ?? []) as readonly string[] }
    default: {
      const result = lost ? 'lost' : reply === false ? 'failed' : 'done'
      return { kind: 'sql', statement: name as Statement, ...(attempt && { attempt }), result }
    }
  }
}
