import { performance } from 'node:perf_hooks'

/** One measured figure, and what it should be at least or at most, where 7-targets says so. */
export type Figure = {
  readonly name: string
  readonly value: number
  readonly atLeast?: number
  readonly atMost?: number
}

/** The middle one of some numbers; the upper one of the middle two. */
export function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN
}

/** The number that `share` of the numbers do not exceed. */
export function percentile(numbers: readonly number[], share: number): number {
  return numbers.toSorted((a, b) => a - b)[Math.ceil(numbers.length * share) - 1] ?? Number.NaN
}

/** How long some work takes, in seconds. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await work()
  return (performance.now() - begun) / 1000
}

/** The figures as the lines of a table. */
export function table(figures: readonly Figure[]): string[] {
  const width = Math.max(...figures.map(({ name }) => name.length))
  return figures.map((figure) =>
    `${figure.name.padEnd(width)} ${shown(figure.value).padStart(10)}   ${verdictOn(figure)}`.trimEnd(),
  )
}

function shown(value: number): string {
  return value.toFixed(Math.abs(value) >= 100 ? 0 : 2)
}

function verdictOn({ value, atLeast, atMost }: Figure): string {
  if (atLeast !== undefined) return `at least ${atLeast}: ${value >= atLeast ? 'met' : 'NOT MET'}`
  if (atMost !== undefined) return `at most ${atMost}: ${value <= atMost ? 'met' : 'NOT MET'}`
  return ''
}
