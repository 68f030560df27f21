type Element = string | number | boolean | null

/**
 * A list as the text of a PostgreSQL array, for a parameter that the statement casts (`::text[]`,
 * `::bigint[]`): the driver itself infers no array types. Unlike a list of JSON records, the planner sees how
 * long an array is.
 */
export function arrayOf(list: readonly Element[]): string {
  return `{${list.map(elementOf).join(',')}}`
}

/** One array for each column of a list of records. */
export function arraysOf<Key extends string>(
  records: readonly Readonly<Record<Key, Element>>[],
  columns: readonly Key[],
): Readonly<Record<Key, string>> {
  const arrays: Partial<Record<Key, string>> = {}
  for (const column of columns) arrays[column] = arrayOf(records.map((record) => record[column]))
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- every column was set above
  return arrays as Record<Key, string>
}

function elementOf(element: Element): string {
  if (element === null) return 'NULL'
  return typeof element === 'string' ? `"${element.replace(/["\\]/g, '\\$&')}"` : String(element)
}
