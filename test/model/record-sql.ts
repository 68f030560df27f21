import type { Line, Sql } from '../../lambda/ledger/connect.ts'
import type { AttemptOf } from './record-s3.ts'
import type { Statement, TraceEvent } from './trace.ts'

/**
 * What the statements of each file of lambda/ledger are, by the function that sends them where they differ;
 * null where a statement is no step of the protocol. A statement from elsewhere is an error of the recorder.
 */
const SENDERS: Readonly<Record<string, Statement | null | Readonly<Record<string, Statement | null>>>> = {
  clock: 'clock',
  compare: 'check lease',
  read: 'read',
  write: 'write',
  rollback: { readInserted: 'read', lockInserted: null, writeRollbacks: 'write' },
  rows: {
    lockUsers: 'lock',
    findUsers: 'find rows',
    findTransactions: 'find rows',
    findExpiryDates: 'find rows',
    findTakenLinks: null,
  },
  identity: null,
  matching: null,
  preflight: null,
  references: null,
  rights: null,
  server: null,
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
      const statement = statementOf(template, new Error().stack ?? '')
      if (statement === 'lock') under.users = idsOf(String(ids))
      if (statement === 'write') under.wrote = true
      // A COMMIT after which nothing is different is no step.
      if (statement === null || (statement === 'commit' && !under.wrote)) return query
      onReply(query as Query, (result, rows) => {
        if (statement === 'check lease' && rows && !('in_time' in (rows[0] ?? {}))) return
        const attempt = attemptOf(under, attempts)
        events.push({ kind: 'sql', statement, ...(attempt !== undefined && { attempt }), result })
      })
      return query
    },
  })
}

function statementOf(template: readonly string[], stack: string): Statement | null {
  if (template[0] === 'commit') return 'commit'
  if (template[0] === 'rollback') return null
  for (const [, sender = '', file = ''] of stack.matchAll(
    /at (?:async )?(\w*).*\/lambda\/ledger\/(\w+)\.ts/g,
  )) {
    if (file === 'transaction') continue
    const known = SENDERS[file]
    const statement = known !== null && typeof known === 'object' ? known[sender] : known
    if (statement !== undefined) return statement
    throw new Error(`The recorder does not know the statements of ${sender} in ${file}.ts.`)
  }
  throw new Error(`The recorder does not know who sends this: ${template.join('$')}`)
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
function onReply(query: Query, tell: (result: Result, rows: Rows | null) => void): void {
  const wait = query.then.bind(query)
  let told = false
  const once = (result: Result, rows: Rows | null): void => {
    if (!told) tell(result, rows)
    told = true
  }
  const then: Query['then'] = (onDone, onFailed) =>
    wait(
      (rows) => {
        once(isFailed(rows) ? 'failed' : 'done', rows)
        return onDone ? onDone(rows) : (rows as never)
      },
      (error: unknown) => {
        once(error instanceof Error && error.name === 'PostgresError' ? 'failed' : 'lost', null)
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
