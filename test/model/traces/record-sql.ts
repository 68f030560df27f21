import type { Sql } from '../../../lambda/ledger/connection/connect.ts'
import type { Line } from '../../../lambda/ledger/connection/line.ts'
import { nameOfStatement } from '../../support/statements.ts'
import type { AttemptOf } from './record-s3.ts'
import type { Statement, TraceEvent } from './trace.ts'

/**
 * What the named statements of lambda/ledger are; null where one is no step of the protocol. A name that is
 * not here is an error of the recorder.
 */
const STEPS: Readonly<Record<string, Statement | null>> = {
  commit: 'commit',
  rollback: null,
  'set constraints all immediate': null,
  'set local row_security = on': null,
  'set local row_security = off': null,
  'read clock': 'clock',
  'match users': null,
  'read users': 'read',
  'read transactions': 'read',
  'read inserted rows': 'read',
  'lock users': 'lock',
  'lock users, waiting': 'lock',
  'lock inserted rows': null,
  'write expirations': 'write',
  'write rollbacks': 'write',
  'compare what was written': null,
  'check lease': 'check lease',
  'find users': 'find rows',
  'find transactions': 'find rows',
  'find expiry dates': 'find rows',
  'find taken links': null,
  'find named users': null,
  'find links': null,
  'find references': null,
  'find foreign keys': null,
  'find required columns': null,
  'find triggers': null,
  'read identity': null,
  'read rights': null,
  'read server': null,
  'read settings': null,
}

/** The transaction on a connection: the users it has locked, and whether it has written. */
type Under = { users: readonly string[]; wrote: boolean }

/** The same pool; the steps of its transactions are added to `events` as they are answered. */
export function recordSql(sql: Sql, attempts: AttemptOf, events: TraceEvent[]): Sql {
  const lent = new Map<Line, Line>()
  return {
    ...sql,
    async acquire() {
      const line = await sql.acquire()
      const recording = { ...line, sql: recordLine(line.sql, attempts, events) }
      lent.set(recording, line)
      return recording
    },
    release(recording) {
      const line = lent.get(recording)
      if (!line) throw new Error('This connection is not lent.')
      lent.delete(recording)
      sql.release(line)
    },
  }
}

function recordLine(sql: Line['sql'], attempts: AttemptOf, events: TraceEvent[]): Line['sql'] {
  const under: Under = { users: [], wrote: false }
  return new Proxy(sql, {
    apply(target, self, args: [TemplateStringsArray, ...unknown[]]) {
      const query: unknown = Reflect.apply(target, self, args)
      const [template, ids] = args
      if (!Array.isArray(template)) return query
      const statement = stepOf(template)
      if (statement === 'lock') under.users = idsOf(String(ids))
      if (statement === 'write') under.wrote = true
      // A COMMIT after which nothing is different is no step.
      if (statement === null || (statement === 'commit' && !under.wrote)) return query
      onReply(query as Query, (result) => {
        const attempt = attemptOf(under, attempts)
        events.push({ kind: 'sql', statement, ...(attempt !== undefined && { attempt }), result })
      })
      return query
    },
  })
}

function stepOf([first = '']: readonly string[]): Statement | null {
  const step = STEPS[nameOfStatement(first) ?? first]
  if (step !== undefined) return step
  throw new Error(`The recorder does not know this statement: ${first}`)
}

/** The attempt of a transaction: that of the users it has locked. */
function attemptOf({ users }: Under, attempts: AttemptOf): string | undefined {
  return users.map((user) => attempts.get(user)).find((attempt) => attempt !== undefined)
}

function idsOf(array: string): readonly string[] {
  return JSON.parse(`[${array.slice(1, -1)}]`) as string[]
}

type Rows = readonly object[] & { readonly command?: string }
type Query = Promise<Rows>
type Result = Extract<TraceEvent, { kind: 'sql' }>['result']

/** The driver sends a query when it is awaited, so this listens to those who await it. */
function onReply(query: Query, tell: (result: Result) => void): void {
  const wait = query.then.bind(query)
  let told = false
  const once = (result: Result): void => {
    if (!told) tell(result)
    told = true
  }
  const then: Query['then'] = (onDone, onFailed) =>
    wait(
      (rows) => {
        once(isFailed(rows) ? 'failed' : 'done')
        return onDone ? onDone(rows) : (rows as never)
      },
      (error: unknown) => {
        once(error instanceof Error && error.name === 'PostgresError' ? 'failed' : 'lost')
        if (onFailed) return onFailed(error)
        throw error
      },
    )
  // oxlint-disable-next-line unicorn/no-thenable, typescript/no-floating-promises -- the driver's
  Object.defineProperty(query, 'then', { value: then })
}

/** A check of the lease after its expiry, or a COMMIT to which the server answered with a rollback. */
function isFailed(rows: Rows): boolean {
  const [first] = rows
  return rows.command === 'ROLLBACK' || (first !== undefined && 'in_time' in first && first.in_time !== true)
}
