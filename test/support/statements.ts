/** The name of a statement of the job: its first line, a comment. Null where it has none, as BEGIN or COMMIT. */
export function nameOfStatement(sql: string): string | null {
  return /^\s*-- (.+)/.exec(sql)?.[1] ?? null
}
