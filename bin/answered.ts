import { FAILED } from './exit-status.ts'
import { outliveOutput } from './output-lost.ts'

/**
 * What a command line is answered with: what to print, and the exit status, 0 for an answer (an empty one too).
 */
export type Answered = { readonly out: string; readonly error: string; readonly exitCode: number }

/** The answer where nothing was done. */
export function failed(error: string): Answered {
  return { out: '', error, exitCode: FAILED }
}

/** Prints an answer, and makes its exit status this process's. */
export function printAnswered({ out, error, exitCode }: Answered): void {
  outliveOutput(process.stdout)
  if (out !== '') process.stdout.write(out)
  if (error !== '') console.error(error)
  process.exitCode = exitCode
}
