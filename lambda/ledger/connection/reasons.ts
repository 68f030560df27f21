import postgres from 'postgres'
import { redact } from '../../redact.ts'

/**
 * What is wrong with the database, and what to do about it. Neither names a password or an e-mail address.
 */
export type Reason = { readonly what: string; readonly todo: string }

/** By SQLSTATE; the server's own message names the user, the table, the column or the right. */
const BY_SQLSTATE: Readonly<Record<string, Reason>> = {
  '28P01': {
    what: 'The database refused the login',
    todo: 'Correct the user and password in DATABASE_URL or in its secret.',
  },
  '28000': {
    what: 'The database refused the login',
    todo:
      "Check the user, and the server's pg_hba.conf: it says who may log in, from where, and whether only " +
      'over TLS.',
  },
  '3D000': {
    what: 'The database does not exist',
    todo: 'Check the name of the database at the end of DATABASE_URL (dbname in a secret).',
  },
  '42P01': {
    what: 'A table is missing',
    todo:
      "Check that DATABASE_URL leads to the ledger's database, and that the user's search_path holds its " +
      'schema.',
  },
  '42703': {
    what: 'A column is missing',
    todo:
      "The ledger's tables differ from those that this job was written for. Compare them before you " +
      'continue.',
  },
  '42501': {
    what: 'A right is missing',
    todo: 'Grant it: docs/roles.sql holds exactly the rights that this job needs.',
  },
  '25006': {
    what: 'The database is read-only',
    todo:
      'Point DATABASE_URL at the primary, not at a standby, or find out why default_transaction_read_only ' +
      'is set.',
  },
  '40001': {
    what: 'Another transaction changed the same rows at the same time',
    todo: 'Wait until the ledger is less busy.',
  },
  '40P01': { what: 'A deadlock was resolved against this job', todo: 'Wait until the ledger is less busy.' },
  '53300': {
    what: 'The database has no connection left',
    todo: 'Wait, send a lower "concurrency", or raise max_connections.',
  },
  '55P03': {
    what: 'A lock on the ledger was not granted in time',
    todo:
      'A migration or a long transaction may hold it: check pg_stat_activity and pg_locks, and wait for ' +
      'it to end.',
  },
  '57014': {
    what: 'A statement took longer than its timeout, or was cancelled',
    todo: 'Check pg_stat_activity for what slows the database down.',
  },
  '57P03': { what: 'The database is starting up or shutting down', todo: 'Wait a minute.' },
}

const ROWS_REFUSED: Reason = {
  what: 'The database refused these rows',
  todo: 'Check the constraint or the trigger that refused them.',
}

/** A standby that has to remove what a query still reads, in order to keep up with its primary. */
const STANDBY_CONFLICT: Reason = {
  what: 'The standby cancelled a read in order to apply changes of its primary',
  todo: 'Set hot_standby_feedback = on or raise max_standby_streaming_delay there, or read from the primary.',
}

const NOT_TRUSTED =
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT|CERT_UNTRUSTED)/
const NOT_VALID = /^(CERT_|ERR_TLS_CERT)/
const NO_DESCRIPTORS = /^(EMFILE|ENFILE)$/

/** By the code of the connection's error, first match. */
const BY_CODE: readonly (readonly [RegExp, Reason])[] = [
  [
    NOT_TRUSTED,
    {
      what: "The database's TLS certificate is not trusted",
      todo:
        'Set NODE_EXTRA_CA_CERTS to a PEM file with the authority that signed it. A certificate is never ' +
        'accepted unverified.',
    },
  ],
  [
    NOT_VALID,
    {
      what: "The database's TLS certificate is not valid for this host and time",
      todo: 'Use the host name that it was issued for, or renew it.',
    },
  ],
  [
    /^ECONNREFUSED$/,
    {
      what: 'The database does not answer',
      todo: 'Check that it is running, and the host and the port in DATABASE_URL.',
    },
  ],
  [
    /^(ENOTFOUND|EAI_AGAIN)$/,
    {
      what: "The database's host name is unknown",
      todo: 'Check the host in DATABASE_URL, and that its network is reachable from here (VPN, VPC).',
    },
  ],
  [
    /^(CONNECT_TIMEOUT|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH)$/,
    {
      what: 'The database cannot be reached',
      todo: 'Check the host, the port and the network in between: VPN, VPC, security groups, firewall.',
    },
  ],
  [
    /^NO_ANSWER$/,
    {
      what: 'The database stopped answering',
      todo: 'Check that it is running, and the network in between: VPN, VPC, security groups, a pooler.',
    },
  ],
  [
    /^CLOSED_AT_ONCE$/,
    {
      what: 'The connection to the database was closed before the login',
      todo:
        'Check that a database is running behind the host and port: a tunnel or a load balancer without ' +
        'one closes connections like this.',
    },
  ],
  [
    NO_DESCRIPTORS,
    {
      what: 'This process cannot open more files or connections',
      todo: 'Raise the limit (ulimit -n), or send a lower "concurrency".',
    },
  ],
]

const NO_TLS: Reason = {
  what: 'The database does not offer TLS',
  todo: 'Turn TLS on there. On a private network only, you can add ?sslmode=disable to DATABASE_URL instead.',
}

const CONNECTION_CODES =
  /^(CONNECTION_|CONNECT_TIMEOUT|NO_ANSWER|CLOSED_AT_ONCE|ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|ERR_SOCKET|ERR_STREAM|ERR_TLS|ERR_SSL)/

/** Whether the connection itself failed, or could not be opened. */
export function isConnectionError(error: unknown): boolean {
  const code = codeOf(error)
  return CONNECTION_CODES.test(code) || NO_DESCRIPTORS.test(code)
}

/** Whether TLS was set up, and the server's certificate was not accepted. */
export function isDistrust(error: unknown): boolean {
  const code = codeOf(error)
  return NOT_TRUSTED.test(code) || NOT_VALID.test(code)
}

/** What a person has to know about an error of the database or the connection. */
export function reasonFor(error: unknown): Reason {
  const one = first(error)
  const detail = one instanceof Error ? redact(one.message) : 'no reason was given'
  if (one instanceof postgres.PostgresError) {
    const { what, todo } = ofServer(one)
    const constraint = one.constraint_name === undefined ? '' : `, constraint ${one.constraint_name}`
    return { what: `${what} (SQLSTATE ${one.code}${constraint}): ${detail}`, todo }
  }
  const { what, todo } = ofConnection(codeOf(one), detail)
  return { what: `${what}: ${detail.replace(/\.$/, '')}`, todo }
}

/** Classes of SQLSTATE that are about values and rows: data, integrity, a trigger's own error. */
const ABOUT_ROWS = new Set(['21', '22', '23', '27', '44', 'P0'])

function ofServer({ code, message }: postgres.PostgresError): Reason {
  if (/during recovery/.test(message)) return BY_SQLSTATE['25006'] ?? ROWS_REFUSED
  if (code === '40001' && /conflict with recovery/.test(message)) return STANDBY_CONFLICT
  const known = BY_SQLSTATE[code]
  if (known) return known
  if (ABOUT_ROWS.has(code.slice(0, 2))) return ROWS_REFUSED
  return { what: 'The database reported an error', todo: "Check the server's log." }
}

function ofConnection(code: string, detail: string): Reason {
  if (/before secure TLS connection/.test(detail)) return NO_TLS
  return (
    BY_CODE.find(([pattern]) => pattern.test(code))?.[1] ?? {
      what: 'The connection to the database was lost',
      todo: 'Check that it is running.',
    }
  )
}

/** A host with several addresses fails with all their errors at once. */
function first(error: unknown): unknown {
  return error instanceof AggregateError ? first(error.errors[0]) : error
}

function codeOf(error: unknown): string {
  const one = first(error)
  return one instanceof Error && 'code' in one && typeof one.code === 'string' ? one.code : ''
}
