import postgres from 'postgres'

/** What is wrong with the database, and what to do about it. Both name no password. */
export type Reason = { readonly what: string; readonly todo: string }

/** By SQLSTATE; the server's own message names the user, the table, the column or the right. */
const BY_SQLSTATE: Readonly<Record<string, { what: string; todo: string }>> = {
  '28P01': {
    what: 'The database refuses the login',
    todo: 'Put the right user and password into DATABASE_URL, or into its secret.',
  },
  '28000': {
    what: 'The database refuses the login',
    todo: "Check the user, and the server's pg_hba.conf: it says who may log in, from where, and whether only over TLS.",
  },
  '3D000': {
    what: 'The database does not exist',
    todo: 'Check the name of the database at the end of DATABASE_URL (dbname in a secret).',
  },
  '42P01': {
    what: 'A table is missing',
    todo: "Check that DATABASE_URL leads to the ledger's database, and that the user's search_path holds the schema of its tables.",
  },
  '42703': {
    what: 'A column is missing',
    todo: "This job knows another form of the ledger's tables. Compare them before anything else.",
  },
  '42501': {
    what: 'A right is missing',
    todo: 'Grant it: docs/roles.sql holds exactly the rights that this job needs.',
  },
  '25006': {
    what: 'The database is read-only',
    todo: 'Point DATABASE_URL at the primary, not at a standby; or find out why somebody set the database read-only (default_transaction_read_only).',
  },
  '53300': {
    what: 'The database has no connection left',
    todo: 'Wait, send a lower "concurrency", or raise max_connections.',
  },
  '57P03': { what: 'The database is starting up or shutting down', todo: 'Wait a little.' },
}

/** BEGIN … READ WRITE on a standby. */
const IN_RECOVERY = /during recovery/

const NOT_TRUSTED =
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT|CERT_UNTRUSTED)/
const NOT_VALID = /^(CERT_|ERR_TLS_CERT)/
const NAME_UNKNOWN = /^(ENOTFOUND|EAI_AGAIN)$/
const NO_ANSWER = /^(CONNECT_TIMEOUT|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH)$/

/** Whether TLS was set up, and the server's certificate was not accepted. */
export function isDistrust(error: unknown): boolean {
  const code = codeOf(error)
  return NOT_TRUSTED.test(code) || NOT_VALID.test(code)
}

/** What a person has to know about an error of the database or the connection. */
export function reasonFor(error: unknown): Reason {
  const detail = detailOf(error)
  if (error instanceof postgres.PostgresError) {
    const known = BY_SQLSTATE[IN_RECOVERY.test(error.message) ? '25006' : error.code]
    const { what, todo } = known ?? {
      what: 'The database could not be worked with',
      todo: "Look into the server's log.",
    }
    return { what: `${what} (SQLSTATE ${error.code}): ${detail}`, todo }
  }
  const { what, todo } = ofConnection(codeOf(error), detail)
  return { what: `${what}: ${detail}`, todo }
}

function ofConnection(code: string, detail: string): Reason {
  if (NOT_TRUSTED.test(code)) {
    return {
      what: "The database's TLS certificate is not trusted",
      todo: 'Name the authority that signed it in NODE_EXTRA_CA_CERTS (a PEM file). It is never accepted unverified.',
    }
  }
  if (NOT_VALID.test(code)) {
    return {
      what: "The database's TLS certificate is not valid for this host and time",
      todo: 'Use the host name that it was issued for, or have it renewed.',
    }
  }
  if (/before secure TLS connection/.test(detail)) {
    return {
      what: 'The database does not offer TLS',
      todo: 'Turn TLS on there. Only where the way to it is private: add ?sslmode=disable to DATABASE_URL.',
    }
  }
  if (code === 'ECONNREFUSED')
    return {
      what: 'The database does not answer',
      todo: 'Check that it runs, and the host and the port in DATABASE_URL.',
    }
  if (NAME_UNKNOWN.test(code))
    return {
      what: "The database's host name is unknown",
      todo: 'Check the host in DATABASE_URL, and that its network is reachable from here (VPN, VPC).',
    }
  if (NO_ANSWER.test(code))
    return {
      what: 'The database cannot be reached',
      todo: 'Check the host and the port, and what lies between: VPN, VPC, security groups, firewall.',
    }
  return { what: 'The connection to the database was lost', todo: 'Check that it runs.' }
}

/** A host with several addresses fails with all their errors at once. */
function first(error: unknown): unknown {
  return error instanceof AggregateError ? first(error.errors[0]) : error
}

function codeOf(error: unknown): string {
  const one = first(error)
  return one instanceof Error && 'code' in one && typeof one.code === 'string' ? one.code : ''
}

function detailOf(error: unknown): string {
  const one = first(error)
  return one instanceof Error ? one.message : 'no reason was given'
}
