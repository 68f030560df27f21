import type { InvocationOptions } from './job.ts'

/** An invocation that has time for so many pages and then none; for runs with one page in flight. */
export function timeForPages(pages: number): InvocationOptions {
  let done = 0
  let looks = 0
  // The first look is withTools', which takes it for the time of the whole invocation.
  return {
    timeLeft: () => (looks++ === 0 || done < pages ? 900_000 : 0),
    host: { onProgress: () => void done++ },
  }
}
