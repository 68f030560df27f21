import { build } from 'esbuild'
import { join } from 'node:path'

/**
 * Writes the functions' code into the folder that is given: `node infra/functions/bundle.ts <folder>`. A
 * process of its own, since the CDK builds a stack without waiting and esbuild's plugins must be waited for.
 */

const ROOT = join(import.meta.dirname, '../..')

/**
 * Where the AWS SDK looks for credentials on a laptop, a server or a pod, and loads only then. On Lambda they
 * are in the environment. A fifth of the bundle.
 */
const CREDENTIALS_ELSEWHERE = [
  '@aws-sdk/credential-provider-cognito-identity',
  '@aws-sdk/credential-provider-ini',
  '@aws-sdk/credential-provider-login',
  '@aws-sdk/credential-provider-process',
  '@aws-sdk/credential-provider-sso',
  '@aws-sdk/credential-provider-web-identity',
  '@aws-sdk/nested-clients',
  '@smithy/credential-provider-imds',
]

const [outdir] = process.argv.slice(2)
if (outdir === undefined) throw new Error('Say where to: node infra/functions/bundle.ts <folder>.')
await build({
  entryPoints: { index: join(ROOT, 'lambda', 'handler.ts') },
  outdir,
  outExtension: { '.js': '.mjs' },
  absWorkingDir: ROOT,
  bundle: true,
  // What is imported only when it is needed is a file of its own, which a cold start neither reads nor compiles.
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  mainFields: ['module', 'main'],
  external: CREDENTIALS_ELSEWHERE,
  // Errors carry their names as texts. To keep those of all functions as well takes a tenth of the cold start.
  minify: true,
  // Read when an error is shown: lambda/host/source-lines.ts.
  sourcemap: 'external',
  sourcesContent: false,
  logLevel: 'warning',
})
