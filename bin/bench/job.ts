import { performance } from 'node:perf_hooks'
import { jobHere } from '../cli/job.ts'

/** The job in a process of its own: its argument is the event; where it works stands in the environment. */
const job = jobHere({ seconds: 900, debug: false, stopped: () => false })
const begun = performance.now()
const cpuBefore = process.cpuUsage()
const pageEnds: number[] = []
const card = await job.invoke(
  JSON.parse(process.argv[2] ?? '{}'),
  () => void pageEnds.push(secondsSinceBegun()),
)
const seconds = secondsSinceBegun()
const { user, system } = process.cpuUsage(cpuBefore)
const cpuSeconds = (user + system) / 1e6
process.stdout.write(
  JSON.stringify({ card, seconds, cpuSeconds, pageEnds, peakBytes: process.resourceUsage().maxRSS * 1024 }),
)

function secondsSinceBegun(): number {
  return (performance.now() - begun) / 1000
}
