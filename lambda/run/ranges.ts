/** Finished pages, as ranges in ascending order that do not overlap, each of one epoch. */
export type Ranges = readonly { readonly from: number; readonly to: number; readonly epoch: number }[]

export function isFinished(ranges: Ranges, page: number): boolean {
  return ranges.some(({ from, to }) => from <= page && page <= to)
}

/** The ranges with one more page; neighbours of one epoch grow together, so that the cursor stays small. */
export function withFinished(
  ranges: Ranges,
  page: number,
  epoch: number,
): { from: number; to: number; epoch: number }[] {
  const all = [...ranges, { from: page, to: page, epoch }].toSorted((a, b) => a.from - b.from)
  return all.reduce<{ from: number; to: number; epoch: number }[]>((merged, range) => {
    const last = merged.at(-1)
    if (last && last.epoch === range.epoch && last.to + 1 === range.from)
      merged.splice(-1, 1, { ...last, to: range.to })
    else merged.push({ ...range })
    return merged
  }, [])
}

/** The pages from 0 to `total` that are not finished, in order. */
export function* unfinished(ranges: Ranges, total: number): Generator<number> {
  for (let page = 0; page < total; page++) if (!isFinished(ranges, page)) yield page
}

/** Every finished page with its epoch, in page order. */
export function* finishedPages(ranges: Ranges): Generator<{ page: number; epoch: number }> {
  for (const { from, to, epoch } of ranges) for (let page = from; page <= to; page++) yield { page, epoch }
}
