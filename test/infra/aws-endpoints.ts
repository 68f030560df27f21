import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

/** What an invocation gets: a payload, or a failed function's. */
export type LambdaAnswer = { readonly payload: unknown; readonly failed?: boolean; readonly status?: number }

/** CloudFormation and Lambda for one stack, on the loopback interface, over their real protocols. */
export type AwsEndpoints = {
  readonly env: Record<string, string>
  /** Every invocation: the path, which names function and alias, and the payload. */
  readonly invoked: { path: string; payload: unknown }[]
  readonly stop: () => Promise<void>
}

type Stack = {
  readonly name: string
  readonly status: string
  readonly outputs: Readonly<Record<string, string>>
}

/** Starts both, as one server: CloudFormation is a form posted to /, Lambda has paths. */
export async function startAwsEndpoints(
  stack: Stack,
  lambda: (payload: unknown) => LambdaAnswer,
): Promise<AwsEndpoints> {
  const invoked: AwsEndpoints['invoked'] = []
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const body = await text(request)
    const path = request.url ?? '/'
    if (!path.startsWith('/2015-03-31/')) {
      const { status, xml } = describeStacks(new URLSearchParams(body).get('StackName') ?? '', stack)
      response.writeHead(status, { 'content-type': 'text/xml' }).end(xml)
      return
    }
    const payload: unknown = JSON.parse(body)
    invoked.push({ path, payload })
    const given = lambda(payload)
    response
      .writeHead(given.status ?? 200, {
        'content-type': 'application/json',
        ...(given.failed === true && { 'x-amz-function-error': 'Unhandled' }),
        ...(given.status !== undefined && { 'x-amzn-errortype': 'AccessDeniedException' }),
      })
      .end(JSON.stringify(given.payload))
  }
  const server = createServer((request, response) => void answer(request, response))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    env: {
      AWS_ENDPOINT_URL: endpoint,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      NO_COLOR: '1',
    },
    invoked,
    stop: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

function describeStacks(asked: string, { name, status, outputs }: Stack): { status: number; xml: string } {
  if (asked !== name) {
    const message = `<Message>Stack with id ${asked} does not exist</Message>`
    const error = `<Error><Type>Sender</Type><Code>ValidationError</Code>${message}</Error>`
    return { status: 400, xml: `<ErrorResponse>${error}<RequestId>1</RequestId></ErrorResponse>` }
  }
  const members = Object.entries(outputs)
    .map(
      ([key, value]) => `<member><OutputKey>${key}</OutputKey><OutputValue>${value}</OutputValue></member>`,
    )
    .join('')
  const described = [
    `<StackName>${name}</StackName><StackStatus>${status}</StackStatus>`,
    `<CreationTime>2026-11-22T06:12:30Z</CreationTime><Outputs>${members}</Outputs>`,
  ].join('')
  const result = `<DescribeStacksResult><Stacks><member>${described}</member></Stacks></DescribeStacksResult>`
  return {
    status: 200,
    xml:
      '<DescribeStacksResponse ' +
      `xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">${result}</DescribeStacksResponse>`,
  }
}
