import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

/**
 * The one-way arrows of the house (docs/architecture.md): which rooms of lambda/ each room may import from.
 * The files at lambda/'s top are rooms of their own kind: `leaf` ones know nobody, `door` ones may know everybody.
 */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  rules: ['rules'],
  ledger: ['ledger', 'rules', 'leaf'],
  archive: ['archive', 'rules', 'leaf'],
  run: ['run', 'ledger', 'archive', 'rules', 'leaf', 'contract'],
  insight: ['insight', 'rules', 'leaf', 'contract'],
  leaf: ['leaf'],
  contract: ['contract', 'leaf', 'rules'],
  door: ['door', 'contract', 'leaf', 'run', 'ledger', 'archive', 'rules'],
}

const TOP: Readonly<Record<string, string>> = {
  'constants.ts': 'leaf',
  'nearest.ts': 'leaf',
  'event.ts': 'contract',
  'config.ts': 'contract',
  'exit-card.ts': 'contract',
  'handler.ts': 'door',
  'host.ts': 'door',
  'observability.ts': 'door',
}

/** Types that an outer room defines for an inner one to be described by: none may be values. */
const root = join(import.meta.dirname, '..', 'lambda')

function roomOf(file: string): string {
  const [first = '', ...rest] = relative(root, file).split('/')
  return rest.length > 0 ? first : (TOP[first] ?? `no room: name ${first} in bin/check-house.ts`)
}

function importsOf(file: string): string[] {
  return [...readFileSync(file, 'utf8').matchAll(/^(?:import|export)\b[^'"]*?from '(\.[^']+)'/gms)].map(
    ([, path = '']) => path,
  )
}

const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => join(root, name))
const wrong = files.flatMap((file) =>
  importsOf(file)
    .map((path) => join(dirname(file), path))
    .filter((target) => target.startsWith(root) && !ALLOWED[roomOf(file)]?.includes(roomOf(target)))
    .map(
      (target) =>
        `${relative(root, file)} (${roomOf(file)}) must not import ${relative(root, target)} (${roomOf(target)})`,
    ),
)

if (wrong.length > 0) {
  console.error(wrong.join('\n'))
  process.exitCode = 1
} else console.log(`The house stands: ${files.length} files, every arrow goes one way.`)
