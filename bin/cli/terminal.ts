import { openSync, readSync, closeSync, constants } from 'node:fs'
import { styleText } from 'node:util'
import type { Writable } from 'node:stream'
import type { WriteStream } from 'node:tty'
import { outliveOutput } from '../output-lost.ts'

/** One of the process's outputs, as far as this command uses it. */
export type Output = {
  readonly stream: Writable
  readonly isTTY: boolean
  /** Characters a line; no limit where the output is not a terminal. */
  readonly columns: number
  readonly write: (text: string) => void
  /** Colours on a terminal without NO_COLOR; elsewhere the text as it is. */
  readonly style: (format: Style, text: string) => string
}

type Style = 'bold' | 'dim' | 'green' | 'yellow' | 'red'

/** Where the command reads and writes. The result goes to `out`, everything else to `err`. */
export type Terminal = {
  readonly out: Output
  readonly err: Output
  /** Whether there is a person to ask. */
  readonly canAsk: boolean
  /** Milliseconds since 1970, for rates and countdowns. */
  readonly now: () => number
}

/** The process's own streams. */
export function processTerminal(): Terminal {
  return {
    out: outputOf(process.stdout),
    err: outputOf(process.stderr),
    canAsk: process.stdin.isTTY && process.stderr.isTTY,
    now: () => Date.now(),
  }
}

function outputOf(stream: WriteStream): Output {
  outliveOutput(stream)
  return {
    stream,
    isTTY: stream.isTTY && process.env.TERM !== 'dumb',
    get columns() {
      if (!stream.isTTY) return Infinity
      // Some terminals report 0, which is no width.
      return stream.columns > 0 ? stream.columns : 80
    },
    write: (text) => void stream.write(text),
    style: (format, text) => styleText(format, text, { stream }),
  }
}

/**
 * Reads and drops what was typed before a question was shown. The line discipline hands over half-typed lines
 * only in raw mode. Without a controlling terminal (Windows) there is nothing to drop.
 */
export function discardTypedAhead(): void {
  if (process.platform === 'win32') return
  process.stdin.setRawMode(true)
  let terminal: number | undefined
  try {
    terminal = openSync('/dev/tty', constants.O_RDONLY | constants.O_NONBLOCK)
    while (readSync(terminal, Buffer.alloc(1024)) > 0);
  } catch (error) {
    // Nothing more to read, or no controlling terminal.
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code !== 'EAGAIN' && code !== 'ENXIO') throw error
  } finally {
    if (terminal !== undefined) closeSync(terminal)
    process.stdin.setRawMode(false)
  }
}

/**
 * Text from the database or the bucket without control characters: they could rewrite what a terminal shows.
 */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, '?')
}
