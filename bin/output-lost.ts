import type { Writable } from 'node:stream'
import { FAILED } from './exit-status.ts'

/**
 * An output that takes no more, such as a file on a full disk, ends no work half-way: at the end it is
 * said, and the exit status is 1. A reader who has gone (`| head`) has had enough.
 */
export function outliveOutput(stream: Writable): void {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE' || error.code === 'EIO') return
    process.once('exit', () => {
      process.stderr.write(`The output is incomplete: ${error.message}.\n`)
      process.exitCode = FAILED
    })
  })
}
