import {
  GetSecretValueCommand,
  SecretsManagerClient,
  type SecretsManagerClientConfig,
} from '@aws-sdk/client-secrets-manager'
import { type ArchiveWaits, statusOf, withTries } from '../archive/s3/attempts.ts'
import { isPassing } from '../archive/s3/reasons.ts'
import { InvalidConfiguration } from '../config.ts'
import { LedgerUnavailable } from '../ledger/errors.ts'

/**
 * The text of a secret.
 * @throws LedgerUnavailable where Secrets Manager does not answer, InvalidConfiguration where it refuses
 */
export async function readSecret(
  arn: string,
  config: SecretsManagerClientConfig,
  { waits, timeLeft }: { readonly waits: ArchiveWaits; readonly timeLeft: () => number },
): Promise<string> {
  const client = new SecretsManagerClient(config)
  const command = new GetSecretValueCommand({ SecretId: arn })
  try {
    const reply = await withTries(async ({ signal: abortSignal }) => client.send(command, { abortSignal }), {
      waits,
      timeLeft,
      signal: undefined,
    })
    return reply.SecretString ?? ''
  } catch (error) {
    if (isPassing(error, statusOf(error))) {
      throw new LedgerUnavailable(
        `The secret ${arn} could not be read: Secrets Manager did not answer. Nothing was done. ` +
          'In a VPC, check its endpoint for Secrets Manager or its NAT. Then try again.',
        { cause: error },
      )
    }
    throw new InvalidConfiguration(
      `The secret ${arn} could not be read. Nothing was done. Check that it exists, and that this ` +
        'role may read it (secretsmanager:GetSecretValue, and its KMS key).',
      { cause: error },
    )
  } finally {
    client.destroy()
  }
}
