import { createServer, type Server } from 'node:http'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Logger } from '@aws-lambda-powertools/logger'
import { Metrics } from '@aws-lambda-powertools/metrics'
import { createServer as createTcpServer } from 'node:net'
import { type Host, lambdaHost, withTools } from '../lambda/host.ts'
import { readServer } from '../lambda/ledger/connection/server.ts'
import { lambdaContext, TEST_CALLER } from './support/job.ts'
import { freshDatabase } from './support/ledger.ts'
import { type Behaviour, type MisbehavingS3, startMisbehavingS3 } from './support/servers/misbehaving-s3.ts'

const ARN = 'arn:aws:secretsmanager:us-east-1:123456789012:secret:ledger-AbCdEf'
const PASSWORD = 'hunter2'

let database: Awaited<ReturnType<typeof freshDatabase>>
let vault: Server
let secrets: MisbehavingS3
/** What Secrets Manager answers, and with which status. */
let answer: { status: number; body: object }
beforeAll(async () => {
  database = await freshDatabase()
  vault = createServer((request, reply) => {
    request.resume()
    reply
      .writeHead(answer.status, { 'content-type': 'application/x-amz-json-1.1' })
      .end(JSON.stringify(answer.body))
  })
  await new Promise<void>((resolve) => vault.listen(0, '127.0.0.1', resolve))
  const address = vault.address()
  secrets = await startMisbehavingS3(
    `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
  )
  Object.assign(process.env, {
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    AWS_ENDPOINT_URL_SECRETS_MANAGER: secrets.endpoint,
  })
})
afterEach(() => secrets.behave(() => 'pass'))
afterAll(async () => {
  delete process.env.AWS_ENDPOINT_URL_SECRETS_MANAGER
  await secrets.stop()
  vault.close()
  await database.drop()
})

const secretIs = (body: object) => (answer = { status: 200, body })
const firstAnswer = (behaviour: Behaviour) =>
  secrets.behave((_request, number) => (number === 1 ? behaviour : 'pass'))

/** To which database the secret leads; short waits, and far longer ones than local servers need. */
async function databaseOfSecret(env: Record<string, string> = {}): Promise<string> {
  const nothing = () => {}
  const host: Host = {
    env: { LOG_BUCKET: 'none-needed', DATABASE_SECRET_ARN: ARN, AWS_REGION: 'us-east-1', ...env },
    callerOf: () => ({ ...TEST_CALLER, requestId: 'test' }),
    now: () => new Date(),
    log: nothing,
    onProgress: nothing,
    onClosed: nothing,
    onPage: nothing,
    onIdle: nothing,
    onCheck: nothing,
    onVerified: nothing,
    waits: { aws: { requestMs: 1_500, silenceMs: 1_500, tries: 2, pauseMs: 1 } },
  }
  return withTools(host, lambdaContext({ timeLeft: () => 60_000 }), async ({ ledger }) => {
    return (await readServer(ledger.writer)).database
  })
}

test.each(['silent', 'half, then silent', 'half, then cut'] as const)(
  'Secrets Manager that is %s once is asked again',
  async (behaviour) => {
    secretIs({ SecretString: database.url })
    firstAnswer(behaviour)
    expect(await databaseOfSecret()).toBe(new URL(database.url).pathname.slice(1))
    expect(secrets.requests).toHaveLength(2)
  },
)

test('Secrets Manager that never answers: a named error after a few tries, and not one of the configuration', async () => {
  secrets.behave(() => 'silent')
  await expect(databaseOfSecret()).rejects.toMatchObject({
    name: 'LedgerUnavailable',
    message: expect.stringContaining('Secrets Manager did not answer. Nothing was done.'),
  })
  expect(secrets.requests).toHaveLength(2)
})

test('a secret that may not be read is an error of the configuration, and is not tried again', async () => {
  answer = { status: 400, body: { __type: 'AccessDeniedException', message: 'no' } }
  secrets.behave(() => 'pass')
  await expect(databaseOfSecret()).rejects.toMatchObject({
    name: 'InvalidConfiguration',
    message: expect.stringContaining('secretsmanager:GetSecretValue'),
  })
  expect(secrets.requests).toHaveLength(1)
})

test('a secret of another form is refused without being quoted', async () => {
  secretIs({ SecretString: `{"password":"${PASSWORD}"` })
  const refused = databaseOfSecret()
  await expect(refused).rejects.toMatchObject({ name: 'InvalidConfiguration' })
  await expect(refused).rejects.not.toThrow(PASSWORD)
})

describe('the address and the password', () => {
  const address = () => new URL(database.url)
  const name = () => address().pathname.slice(1)
  const login = () => ({ username: address().username, password: address().password })

  test('all of it from a secret in the form of RDS', async () => {
    const { hostname: host, port } = address()
    secretIs({ SecretString: JSON.stringify({ ...login(), host, port: Number(port), dbname: name() }) })
    expect(await databaseOfSecret()).toBe(name())
  })

  test('a secret that RDS manages holds user and password: the rest is in the environment', async () => {
    secretIs({ SecretString: JSON.stringify(login()) })
    const env = { DATABASE_HOST: address().host, DATABASE_NAME: name() }
    expect(await databaseOfSecret(env)).toBe(name())
  })

  test.each([
    [{}, 'has no host (DATABASE_HOST) and no dbname (DATABASE_NAME). Nothing was done.'],
    [{ DATABASE_HOST: 'db.example.com' }, 'has no dbname (DATABASE_NAME). Nothing was done.'],
    [{ DATABASE_NAME: 'app' }, 'has no host (DATABASE_HOST). Nothing was done.'],
  ])('with %o it is refused, naming the secret and what is absent', async (env, said) => {
    secretIs({ SecretString: JSON.stringify(login()) })
    await expect(databaseOfSecret(env)).rejects.toMatchObject({
      name: 'InvalidConfiguration',
      message: expect.stringContaining(`The secret ${ARN} ${said}`),
    })
  })

  test('a secret without a password is refused, unless IAM authenticates', async () => {
    const { hostname: host, port } = address()
    secretIs({ SecretString: JSON.stringify({ username: 'job', host, port, dbname: name() }) })
    await expect(databaseOfSecret()).rejects.toThrow(`The secret ${ARN} has no password. Nothing was done.`)
  })

  test('a URL in a secret that cannot be right is refused, naming the secret and not the password', async () => {
    secretIs({ SecretString: `postgres://job:${PASSWORD}@db.example.com/app?pool=5` })
    const refused = databaseOfSecret()
    await expect(refused).rejects.toThrow(`The secret ${ARN} holds a URL that has the parameter "pool"`)
    await expect(refused).rejects.not.toThrow(PASSWORD)
  })
})

describe('IAM database authentication', () => {
  const IAM = { DATABASE_AUTH: 'iam' }

  test.each([
    [
      'the secret',
      (port: number) => JSON.stringify({ username: 'expiry_writer', host: '127.0.0.1', port, dbname: 'app' }),
    ],
    ['a URL', (port: number) => `postgres://expiry_writer@127.0.0.1:${port}/app`],
  ])(
    'signs a token for the user, host and port of %s, and sends it as the password',
    async (_what, secret) => {
      const server = await startPasswordServer()
      secretIs({ SecretString: secret(server.port) })
      await expect(databaseOfSecret(IAM)).rejects.toThrow(/\S/)
      const token = new URL(`https://${server.passwords[0]}`)
      expect(token.host).toBe(`127.0.0.1:${server.port}`)
      expect(Object.fromEntries(token.searchParams)).toMatchObject({
        Action: 'connect',
        DBUser: 'expiry_writer',
        'X-Amz-Expires': '900',
        'X-Amz-Credential': expect.stringMatching(/^test\/\d{8}\/us-east-1\/rds-db\/aws4_request$/) as string,
        'X-Amz-Signature': expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      })
      await server.stop()
    },
  )

  test.each(['postgres://db.example.com/app', 'postgres://job@db.example.com/app?sslmode=disable'])(
    '%s is refused: a token goes over TLS, and is for a user',
    async (url) => {
      secretIs({ SecretString: url })
      await expect(databaseOfSecret(IAM)).rejects.toThrow(
        'must name a user and must not switch TLS off (sslmode=disable): DATABASE_AUTH is iam',
      )
    },
  )
})

/** A server that asks for a password in clear text, as RDS does with IAM, keeps it, and refuses the login. */
async function startPasswordServer(): Promise<{
  port: number
  passwords: string[]
  stop: () => Promise<void>
}> {
  const passwords: string[] = []
  const server = createTcpServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (message) => {
      if (message[0] !== 0x70) return void socket.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]))
      passwords.push(message.subarray(5, -1).toString())
      const fields = Buffer.from('SFATAL\0C28P01\0Mno such login\0\0')
      const head = Buffer.alloc(5, 'E')
      head.writeInt32BE(fields.length + 4, 1)
      socket.end(Buffer.concat([head, fields]))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    passwords,
    stop: async () => new Promise((resolve) => server.close(() => resolve())),
  }
}

describe('who called, in Lambda', () => {
  const EXECUTION = 'arn:aws:states:us-east-1:123456789012:execution:CreditExpiry:0b1c2d3e'
  const callerGiven = (custom: unknown) => {
    const logger = new Logger({ logLevel: 'SILENT' })
    const { callerOf } = lambdaHost(logger, new Metrics({ namespace: 'Test', serviceName: 'test', logger }))
    return callerOf({ ...lambdaContext({ requestId: 'r-1' }), clientContext: { custom } as never })
  }

  test('the workflow: its execution by name, and by ARN as evidence', () => {
    expect(callerGiven({ workflowExecution: EXECUTION })).toMatchObject({
      by: 'unknown (workflow)',
      via: 'workflow 0b1c2d3e',
      evidence: { workflowExecution: EXECUTION },
      requestId: 'r-1',
    })
    expect(callerGiven({ workflowExecution: EXECUTION, by: 'Ada' })).toMatchObject({ by: 'Ada' })
  })

  test.each([undefined, null, 'ada', [], {}, { by: 5, workflowExecution: 'an execution' }])(
    'anything else is a direct invocation: %o',
    (custom) => {
      const caller = callerGiven(custom)
      expect(caller).toMatchObject({ by: 'unknown (direct invocation)', via: 'lambda' })
      expect(caller.evidence).not.toHaveProperty('workflowExecution')
    },
  )

  test('a name beside the payload', () => {
    expect(callerGiven({ by: 'Ada' })).toMatchObject({ by: 'Ada', via: 'lambda' })
  })
})
