import { hostname, userInfo } from 'node:os'
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts'
import type { Tools } from '../../lambda/run/tools.ts'

const STS_MS = 3_000

/**
 * Who runs this command: the user of the operating system and the host, and the caller's ARN where AWS is used. A
 * missing ARN is no error: the run records that it is not known.
 */
export async function callerHere(env: NodeJS.ProcessEnv): Promise<Omit<Tools['caller'], 'requestId'>> {
  const { username } = userInfo()
  const arn = env.AWS_ENDPOINT_URL_S3 === undefined ? await callerArn() : 'none (local S3 server)'
  return {
    by: `${username}@${hostname()}`,
    via: 'command',
    evidence: { osUser: username, host: hostname(), awsCaller: arn },
  }
}

async function callerArn(): Promise<string> {
  const client = new STSClient({ maxAttempts: 1 })
  try {
    const reply = await client.send(new GetCallerIdentityCommand({}), {
      abortSignal: AbortSignal.timeout(STS_MS),
    })
    return reply.Arn ?? 'unknown'
  } catch (error) {
    return `unknown (${error instanceof Error ? error.name : 'error'})`
  } finally {
    client.destroy()
  }
}
