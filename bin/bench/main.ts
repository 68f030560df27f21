import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { compare } from './compare.ts'
import { distance } from './distance.ts'
import { giant } from './giant.ts'
import { historyOfYear } from './history.ts'
import { table } from './figures.ts'
import { scale, sparse } from './scale.ts'

/**
 * `npm run bench`: the table of 7-targets, measured. `-- --scale` and `-- --distance` measure the other
 * lines, `-- --history` the story of one user in a year of runs. Takes minutes. docs/decisions/7-fast.md explains the figures.
 */
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    scale: { type: 'boolean', default: false },
    distance: { type: 'boolean', default: false },
    history: { type: 'boolean', default: false },
    json: { type: 'string', default: 'bench.json' },
    event: { type: 'string', default: '{}' },
  },
})

const say = (text: string): void => void process.stderr.write(`${text}\n`)
const options = { rounds: Number(values.rounds), event: JSON.parse(values.event), say }
if (!Number.isInteger(options.rounds) || options.rounds < 1)
  throw new Error(`--rounds must be a whole number of 1 or more, not ${values.rounds}.`)

const figures = values.scale
  ? [...(await scale(options)), ...(await sparse(options)), ...(await giant(options))]
  : values.distance
    ? await distance(options)
    : values.history
      ? await historyOfYear(options)
      : await compare(options)
for (const line of table(figures)) process.stdout.write(`${line}\n`)
await writeFile(
  values.json,
  `${JSON.stringify({ at: new Date().toISOString(), node: process.version, rounds: options.rounds, event: options.event, figures }, null, 2)}\n`,
)
