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
