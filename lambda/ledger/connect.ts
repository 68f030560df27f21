import postgres from 'postgres'

export type Sql = postgres.Sql
export type Transaction = postgres.TransactionSql
/** Whatever takes statements: a pool, or a transaction. */
export type Statements = postgres.ISql

/** How a database is reached; `password` is asked for each new connection, which survives a rotation of the secret. */
export type Address =
  | { readonly url: string }
  | {
      readonly host: string
      readonly port: number
      readonly database: string
      readonly username: string
      readonly password: () => Promise<string>
    }

/**
 * A pool that works behind a transaction pooler or RDS Proxy: nothing is prepared and nothing is session-level.
 * TLS is verified, except where the URL itself says `sslmode=disable` or points at this machine.
 */
export function connect(address: Address, connections: number): Sql {
  const options = {
    max: connections,
    prepare: false,
    fetch_types: false,
    connect_timeout: 5,
    idle_timeout: 30,
    connection: { application_name: 'credit-expiry' },
    onnotice: () => {},
  } satisfies postgres.Options<Record<string, never>>
  if ('url' in address) return postgres(address.url, { ...options, ssl: tlsFor(new URL(address.url)) })
  return postgres({ ...options, ...address, ssl: 'verify-full' })
}

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])

function tlsFor(url: URL): 'verify-full' | false {
  const mode = url.searchParams.get('sslmode')
  if (mode === 'disable' || (mode === null && LOOPBACK.has(url.hostname))) return false
  return 'verify-full'
}
