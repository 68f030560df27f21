/** How many objects of the bucket are read side by side. */
export const READS_AT_A_TIME = 8

/** The items in order, `size` at a time; the last time those that are left. */
export function* chunks<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size)
}
