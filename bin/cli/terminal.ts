import { createInterface } from 'node:readline'
import type { WriteStream } from 'node:tty'

/** One of the process's outputs, as far as this command uses it. */
export type Output = {
  readonly isTTY: boolean
  readonly columns: number
  readonly write: (text: string) => void
}

/** Where the command reads and writes. The result goes to `out`, and nothing else does. */
export type Terminal = {
  readonly out: Output
  readonly err: Output
  /** Whether there is a person to ask. */
  readonly canAsk: boolean
  /** Asks on `err`; what was typed, or '' when the input ended or `signal` was aborted. */
  readonly ask: (question: string, signal: AbortSignal) => Promise<string>
  /** Milliseconds since 1970, for rates and the spacing of lines. */
  readonly now: () => number
}

/** The process's own streams. */
export function processTerminal(): Terminal {
  return {
    out: outputOf(process.stdout),
    err: outputOf(process.stderr),
    canAsk: process.stdin.isTTY && process.stderr.isTTY,
    ask,
    now: () => Date.now(),
  }
}

function outputOf(stream: WriteStream): Output {
  // A reader who has gone (`| head`) must not end a run half-way; what it no longer wants is dropped.
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error
  })
  return {
    isTTY: stream.isTTY && process.env.TERM !== 'dumb',
    get columns() {
      // Some terminals say 0, which is no width.
      return stream.columns > 0 ? stream.columns : 80
    },
    write: (text) => void stream.write(text),
  }
}

/** The line mode of the terminal is left as it is: in readline's own, Ctrl-C would no longer be a signal. */
function ask(question: string, signal: AbortSignal): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stderr, terminal: false })
  return new Promise<string>((resolve) => {
    const end = () => lines.close()
    signal.addEventListener('abort', end)
    lines.once('close', () => {
      signal.removeEventListener('abort', end)
      resolve('')
    })
    lines.question(question, (answer) => {
      resolve(answer)
      lines.close()
    })
  })
}

/** Text from the database or the bucket without control characters: they could rewrite what a terminal shows. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, '?')
}
