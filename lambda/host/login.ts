import * as z from 'zod'
import { type Config, type DatabaseSource, InvalidConfiguration, problemOfDatabaseUrl } from '../config.ts'
import type { Address } from '../ledger/connection/line.ts'

/** How a function logs in to the database, besides where its address is kept. */
export type Login = Pick<Config, 'databaseAuth' | 'databaseHost' | 'databaseName'> & {
  readonly region: string
  readonly readSecret: (arn: string) => Promise<string>
}

/** A secret of RDS or Aurora. Those that RDS manages by itself hold only user and password. */
const secretSchema = z.object({
  host: z.string().min(1).optional(),
  port: z.coerce.number().optional(),
  username: z.string().min(1),
  password: z.string().min(1).optional(),
  dbname: z.string().min(1).optional(),
})

const DEFAULT_PORT = 5432

/**
 * Where a database is, and how each new connection gets its password: from the URL; from the secret, which is
 * read again each time, so that a rotation during a run does no harm; or, with IAM, a new token, which is
 * valid for 15 minutes.
 * @throws InvalidConfiguration where the secret or the URL does not say enough, and what reading the secret
 * throws
 */
export async function databaseAddress(source: DatabaseSource, login: Login): Promise<Address> {
  if ('url' in source) return addressOfUrl(source.url, 'The database URL', login)
  const arn = source.secretArn
  const text = await login.readSecret(arn)
  if (/^postgres(ql)?:/.test(text)) return addressOfUrl(text, `The secret ${arn} holds a URL that`, login)
  const secret = parseSecret(arn, text)
  const server = serverOf(arn, secret, login)
  if (login.databaseAuth === 'iam') return { ...server, password: iamToken(server, login.region) }
  return {
    ...server,
    password: async () => passwordOf(arn, parseSecret(arn, await login.readSecret(arn))),
  }
}

function addressOfUrl(url: string, subject: string, { databaseAuth, region }: Login): Address {
  const problem = problemOfDatabaseUrl(url)
  if (problem !== null) throw new InvalidConfiguration(`${subject} ${problem}. Nothing was done.`)
  if (databaseAuth === 'password') return { url }
  const { hostname: host, port, username, searchParams } = new URL(url)
  if (username === '' || searchParams.get('sslmode') === 'disable') {
    throw new InvalidConfiguration(
      `${subject} must name a user and must not switch TLS off (sslmode=disable): DATABASE_AUTH is iam. ` +
        'Nothing was done.',
    )
  }
  const server = {
    host,
    port: port === '' ? DEFAULT_PORT : Number(port),
    username: decodeURIComponent(username),
  }
  return { url, password: iamToken(server, region) }
}

type Server = { readonly host: string; readonly port: number; readonly username: string }

/** What the secret does not say comes from the configuration. */
function serverOf(
  arn: string,
  { host, port, username, dbname }: z.infer<typeof secretSchema>,
  { databaseHost, databaseName }: Login,
): Server & { readonly database: string } {
  const [configuredHost, configuredPort] = databaseHost?.split(':') ?? []
  const server = host ?? configuredHost
  const database = dbname ?? databaseName
  if (server === undefined || database === null) {
    const lacking = [
      server === undefined && 'host (DATABASE_HOST)',
      database === null && 'dbname (DATABASE_NAME)',
    ]
    throw new InvalidConfiguration(
      `The secret ${arn} has no ${lacking.filter(Boolean).join(' and no ')}. Nothing was done. ` +
        'Set the environment variable: a secret that RDS manages holds only user and password.',
    )
  }
  return { host: server, port: port ?? Number(configuredPort ?? DEFAULT_PORT), username, database }
}

function passwordOf(arn: string, { password }: z.infer<typeof secretSchema>): string {
  if (password !== undefined) return password
  throw new InvalidConfiguration(
    `The secret ${arn} has no password. Nothing was done. To log in with IAM instead, set ` +
      'DATABASE_AUTH to iam.',
  )
}

/** Signed for each connection: the server checks a token only when a connection is made. */
function iamToken({ host, port, username }: Server, region: string): () => Promise<string> {
  return async () => {
    const { Signer } = await import('@aws-sdk/rds-signer')
    try {
      return await new Signer({ hostname: host, port, username, region }).getAuthToken()
    } catch (error) {
      throw new InvalidConfiguration(
        `No token for the database user ${username} could be signed (DATABASE_AUTH is iam). Nothing ` +
          'was done. Check the AWS credentials of this process.',
        { cause: error },
      )
    }
  }
}

function parseSecret(arn: string, text: string): z.infer<typeof secretSchema> {
  try {
    return secretSchema.parse(JSON.parse(text))
  } catch {
    // No cause: a JSON error quotes the text, and the text is the secret.
    throw new InvalidConfiguration(
      `The secret ${arn} is neither a postgres:// URL nor JSON with username, password, host, port ` +
        'and dbname. Nothing was done.',
    )
  }
}
