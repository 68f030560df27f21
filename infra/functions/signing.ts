import { type IRole, PolicyStatement } from 'aws-cdk-lib/aws-iam'
import type { EnvironmentName } from '../../lambda/config.ts'
import type { Settings } from '../settings.ts'

type Environment = Readonly<Partial<Record<EnvironmentName, string>>>

/** Who signs manifests, and who can check them. */
export type Signing = {
  /** The job function's: it alone knows the key. */
  readonly job: Environment
  /** The preview function's: it checks signatures, with public keys alone. */
  readonly preview: Environment
  readonly grantJob: (role: IRole) => void
}

/** Signing with the configured key in KMS, which is not part of the stack: it must outlive it. */
export function signingOf({ signingKeyArn, signingPublicKeys }: Settings): Signing {
  const preview: Environment =
    signingPublicKeys === undefined ? {} : { SIGNING_PUBLIC_KEYS: signingPublicKeys.join(',') }
  if (signingKeyArn === undefined) return { job: preview, preview, grantJob: () => {} }
  return {
    job: { ...preview, SIGNING_KEY_ARN: signingKeyArn },
    preview,
    grantJob(role) {
      const actions = ['kms:Sign', 'kms:GetPublicKey']
      role.addToPrincipalPolicy(new PolicyStatement({ actions, resources: [signingKeyArn] }))
    },
  }
}
