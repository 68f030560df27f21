import { distance } from 'fastest-levenshtein'

/** The candidate that a misspelt word most likely meant, or undefined when none is near. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  return nearestFew(word, candidates, 1)[0]
}

/** The few candidates that a misspelt word may have meant, the nearest first; none where none is near. */
export function nearestFew(word: string, candidates: readonly string[], count: number): string[] {
  return (
    candidates
      .map((candidate) => ({ candidate, edits: distance(word.toLowerCase(), candidate.toLowerCase()) }))
      // Of a short word, two edits leave nothing: foo is not a misspelt from.
      .filter(({ edits }) => edits <= Math.max(2, word.length / 4) && edits < word.length / 2)
      .toSorted((a, b) => a.edits - b.edits)
      .slice(0, count)
      .map(({ candidate }) => candidate)
  )
}
