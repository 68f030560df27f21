import { readFileSync } from 'node:fs'
import { SourceMap } from 'node:module'
import { fileURLToPath } from 'node:url'

/** A place in a file of the bundle, as V8 writes it into a stack. */
const PLACE = /(file:\/\/[^\s()]+\.mjs):(\d+):(\d+)/g

/**
 * A stack with lines of the source where it has places in the bundle, by the map beside each of its files. Only
 * an error that is shown needs them: Node's own --enable-source-maps reads every map at each cold start.
 */
export function inSourceLines(stack: string): string {
  const maps = new Map<string, SourceMap | null>()
  return stack.replace(PLACE, (place, file: string, line: string, column: string) => {
    if (!maps.has(file)) maps.set(file, readMap(file))
    const entry = maps.get(file)?.findEntry(Number(line) - 1, Number(column) - 1)
    if (!entry || !('originalSource' in entry)) return place
    const source = entry.originalSource.replace(/^(\.\.\/)+/, '')
    return `${source}:${entry.originalLine + 1}:${entry.originalColumn + 1}`
  })
}

/** Null where there is none that can be read: an error in here would take the place of the one to be shown. */
function readMap(file: string): SourceMap | null {
  try {
    return new SourceMap(JSON.parse(readFileSync(`${fileURLToPath(file)}.map`, 'utf8')))
  } catch {
    return null
  }
}
