import { PassThrough } from 'node:stream'
import type { Output } from '../../bin/cli/terminal.ts'

/** An output of a test, without colours: what was written to it, and what a terminal would show of that. */
export type TestOutput = Output & { readonly written: () => string; readonly screen: () => string[] }

export function testOutput({ isTTY = false, columns = Infinity } = {}): TestOutput {
  let written = ''
  const stream = Object.assign(new PassThrough(), { isTTY, columns })
  stream.on('data', (chunk: Buffer) => (written += chunk.toString()))
  // Synchronous, as a terminal is for a test.
  stream.write = (text: unknown) => {
    written += String(text)
    return true
  }
  return {
    stream,
    isTTY,
    columns,
    write: (text) => void stream.write(text),
    style: (_, text) => text,
    written: () => written,
    screen: () => screenOf(written),
  }
}

/**
 * Lines as a terminal shows them, for the few sequences that are used: the cursor to column 1, and erasing.
 */
export function screenOf(written: string): string[] {
  /* oxlint-disable no-control-regex -- escape sequences are what is looked for */
  return written
    .replaceAll(/\u001b\[\?(25|7)[hl]|\u001b[78]/g, '')
    .replaceAll('\r\n', '\n')
    .replaceAll('\u001b[1G', '\r')
    .split('\n')
    .map((line) =>
      line
        .split('\r')
        .reduce((shown, part) => (part.startsWith('\u001b') ? part : part + shown.slice(part.length)), '')
        .replaceAll(/\u001b\[\d?K/g, '')
        .trimEnd(),
    ) /* oxlint-enable no-control-regex */
}
