import { performance } from 'node:perf_hooks'
import { Logger } from '@aws-lambda-powertools/logger'
import { Metrics } from '@aws-lambda-powertools/metrics'
import { createHandler } from '../../lambda/handler.ts'
import { localContext } from '../local-context.ts'
import { CALLER } from './caller.ts'

/**
 * The job in a process of its own, through its handler: the argument is the event, the environment says where
 * it works.
 */
const logger = new Logger({ logLevel: 'SILENT' })
const metrics = new Metrics({ namespace: 'Bench', serviceName: 'bench', logger })
const pageEnds: number[] = []
let closedAfter: number | null = null
const handler = createHandler(
  {
    callerOf: () => CALLER,
    onProgress: () => void pageEnds.push(secondsSinceBegun()),
    onClosed: () => void (closedAfter = secondsSinceBegun()),
  },
  logger,
  metrics,
)
const context = localContext(() => 900_000 - secondsSinceBegun() * 1000)

const begun = performance.now()
const cpuBefore = process.cpuUsage()
const answer = await handler(JSON.parse(process.argv[2] ?? '{}'), context)
const seconds = secondsSinceBegun()
const { user, system } = process.cpuUsage(cpuBefore)
const cpuSeconds = (user + system) / 1e6
const peakBytes = process.resourceUsage().maxRSS * 1024
process.stdout.write(JSON.stringify({ answer, seconds, cpuSeconds, pageEnds, closedAfter, peakBytes }))

function secondsSinceBegun(): number {
  return (performance.now() - begun) / 1000
}
