import { Aws } from 'aws-cdk-lib'

/** The condition of a KMS statement: only through this AWS service, in this region. */
export function viaService(service: 's3' | 'secretsmanager'): object {
  return { StringEquals: { 'kms:ViaService': `${service}.${Aws.REGION}.${Aws.URL_SUFFIX}` } }
}
