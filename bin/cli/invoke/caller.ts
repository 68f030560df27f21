import { hostname, userInfo } from 'node:os'
import type { Tools } from '../../../lambda/run/tools.ts'

const STS_MS = 3_000

/**
 * Who runs this command: the user of the operating system and the host, and the caller's ARN where AWS is
 * used. A missing ARN is no error: the run records that it is not known.
 */
export async function callerHere(env: NodeJS.ProcessEnv): Promise<Omit<Tools['caller'], 'requestId'>> {
  const arn = env.AWS_ENDPOINT_URL_S3 === undefined ? await callerArn() : 'none (local S3 server)'
  return {
    by: userHere(),
    via: 'command',
    evidence: { osUser: userInfo().username, host: hostname(), awsCaller: arn },
  }
}

/** `ada@laptop` */
export function userHere(): string {
  return `${userInfo().username}@${hostname()}`
}

async function callerArn(): Promise<string> {
  // Only where AWS is used: loading it takes a noticeable part of a start.
  const { GetCallerIdentityCommand, STSClient } = await import('@aws-sdk/client-sts')
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
