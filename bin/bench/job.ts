import { performance } from 'node:perf_hooks'
import { jobHere } from '../cli/job.ts'

/** The job in a process of its own: its argument is the event; where it works stands in the environment. */
let pages = 0
const job = jobHere({ seconds: 900, debug: false, stopped: () => false })
const begun = performance.now()
const card = await job.invoke(JSON.parse(process.argv[2] ?? '{}'), () => void pages++)
const seconds = (performance.now() - begun) / 1000
process.stdout.write(JSON.stringify({ card, seconds, pages, peakBytes: process.resourceUsage().maxRSS * 1024 }))
