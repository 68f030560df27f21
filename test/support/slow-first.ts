import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Files that wait a lot, and take a minute or more. */
const SLOW = /\/test\/(faults|sandbox|cli)\/|archive-answers|report-browser/

/** Slow files first: one that begins last would run alone at the end. */
export class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    // oxlint-disable-next-line unicorn/no-array-sort -- the sequencer's own
    const sorted = await super.sort(files)
    const isSlow = ({ moduleId }: TestSpecification): boolean => SLOW.test(moduleId)
    return [...sorted.filter(isSlow), ...sorted.filter((file) => !isSlow(file))]
  }
}
