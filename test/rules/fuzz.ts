import * as fc from 'fast-check'

/**
 * The seed of every property: FC_SEED, or a new one each time. It is part of the tests' names, and a failure
 * prints it with the path to its smallest example: `FC_SEED=… npx vitest run test/rules` shows it again.
 */
export const SEED = Number(process.env.FC_SEED ?? Math.floor(Math.random() * 2 ** 31))

fc.configureGlobal({ seed: SEED, numRuns: 1_000 })

export { fc }
