import type { HistoryAnswer } from './history.ts'

/**
 * Which runs a history lacks, in words: those that could not be read, and those for which there was no time.
 * Null where it has all of them, so that its sums are the whole.
 */
export function missingText({ result, runsNotRead }: HistoryAnswer): string | null {
  const unreadable = result.runs.filter((run) => 'problem' in run).length
  const parts = [
    ...(unreadable === 0 ? [] : [`${runsText(unreadable)} could not be read`]),
    ...(runsNotRead === 0 ? [] : [`there was no time for ${runsText(runsNotRead)}`]),
  ]
  return parts.length === 0 ? null : parts.join(', and ')
}

function runsText(runs: number): string {
  return runs === 1 ? '1 run' : `${runs} runs`
}
