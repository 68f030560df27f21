import { performance } from 'node:perf_hooks'
import { Logger } from '@aws-lambda-powertools/logger'
import { Metrics } from '@aws-lambda-powertools/metrics'
import { createHandler } from '../../lambda/handler.ts'
import { type Host, lambdaHost, withTools } from '../../lambda/host.ts'
import { noFindings } from '../../lambda/insight/verify/differences.ts'
import { readClosedRun } from '../../lambda/insight/verify/documents.ts'
import { filesOfStore } from '../../lambda/insight/verify/files.ts'
import { checkLogs } from '../../lambda/insight/verify/logs.ts'
import type { Tools } from '../../lambda/run/tools.ts'
import { localContext } from '../local-context.ts'
import { CALLER } from './caller.ts'

/**
 * The job in a process of its own, through its handler: the argument is the event, the environment says where
 * it works. `{"logsOf": <run id>}` compares the logs of a run with the rules and the manifest, which `verify`
 * does too, with the ledger besides.
 */
const logger = new Logger({ logLevel: 'SILENT' })
const metrics = new Metrics({ namespace: 'Bench', serviceName: 'bench', logger })
const pageEnds: number[] = []
let closedAfter: number | null = null
const host: Host = {
  ...lambdaHost(logger, metrics),
  callerOf: () => CALLER,
  onProgress: () => void pageEnds.push(secondsSinceBegun()),
  onClosed: () => void (closedAfter = secondsSinceBegun()),
}
const handler = createHandler(host, logger, metrics)
const context = localContext(() => 900_000 - secondsSinceBegun() * 1000)

const begun = performance.now()
const cpuBefore = process.cpuUsage()
const event = JSON.parse(process.argv[2] ?? '{}')
const answer =
  'logsOf' in event
    ? await withTools(host, context, async (tools) => verifyLogs(event.logsOf, tools))
    : await handler(event, context)
const seconds = secondsSinceBegun()
const { user, system } = process.cpuUsage(cpuBefore)
const cpuSeconds = (user + system) / 1e6
const peakBytes = process.resourceUsage().maxRSS * 1024
process.stdout.write(JSON.stringify({ answer, seconds, cpuSeconds, pageEnds, closedAfter, peakBytes }))

async function verifyLogs(runId: string, { store }: Tools): Promise<{ readonly result: string }> {
  const files = filesOfStore(store)
  const findings = noFindings()
  const closed = await readClosedRun(files, runId, findings)
  if (closed) await checkLogs(files, closed, findings)
  return { result: closed && findings.unexplained === 0 ? 'verified' : 'differences' }
}

function secondsSinceBegun(): number {
  return (performance.now() - begun) / 1000
}
