import { createServer, type Server } from 'node:http'
import type { Context } from 'aws-lambda'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type Host, withTools } from '../lambda/host.ts'
import { readServer } from '../lambda/ledger/server.ts'
import { freshDatabase } from './support/ledger.ts'
import { type Behaviour, type MisbehavingS3, startMisbehavingS3 } from './support/misbehaving-s3.ts'

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
async function databaseOfSecret(waits: Host['waits'] = {}): Promise<string> {
  const nothing = () => {}
  const host: Host = {
    env: { LOG_BUCKET: 'none-needed', DATABASE_SECRET_ARN: ARN },
    callerOf: () => ({ by: 'test', via: 'test', evidence: {}, requestId: 'test' }),
    now: () => new Date(),
    log: nothing,
    onProgress: nothing,
    onClosed: nothing,
    onPage: nothing,
    onIdle: nothing,
    onCheck: nothing,
    waits: { aws: { requestMs: 1_500, silenceMs: 1_500, tries: 2, pauseMs: 1 }, ...waits },
  }
  return withTools(host, { getRemainingTimeInMillis: () => 60_000 } as Context, async ({ ledger }) => {
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
