import { once } from 'node:events'
import { openSandbox, publish } from './sandbox.ts'

/** `npm run sandbox`: keeps both servers up, for psql, the AWS CLI and other commands, until Ctrl-C. */
async function keepUp(): Promise<void> {
  const sandbox = await openSandbox()
  const unpublish = await publish(sandbox)
  process.stdout.write(`The sandbox is up. Ctrl-C stops it.

  Ledger    psql '${sandbox.databaseUrl}'
  Bucket    aws --endpoint-url ${sandbox.endpoint} s3 ls s3://${sandbox.bucket}/
            (any credentials; the objects are plain files in ${sandbox.files})

npm start, in another terminal, uses this sandbox.
`)
  await Promise.race(['SIGINT', 'SIGTERM', 'SIGHUP'].map(async (signal) => once(process, signal)))
  await unpublish()
  await sandbox.stop()
}

try {
  await keepUp()
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
