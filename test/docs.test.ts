import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { contextName } from '../infra/functions/function-numbers.ts'
import { NUMBERS } from '../lambda/limits.ts'
import { FLAGS, OUTCOMES } from '../lambda/run/lines/glossary.ts'
import manifest from '../package.json' with { type: 'json' }
import lock from '../package-lock.json' with { type: 'json' }

const ROOT = join(import.meta.dirname, '..')
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')
const PAGES = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'docs/architecture.md',
  'docs/guarantees.md',
  'docs/runbook.md',
]

/** The cells of the table rows of a page. */
function rowsOf(page: string): string[][] {
  return page
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) => line.slice(2, -2).split(' | '))
}

/** The names of the tests of a file; what follows `(FC_SEED` or `${` is known only when they run. */
function namesIn(file: string): string[] {
  const names = read(file).matchAll(/\(\s*(['"`])((?:\\.|(?!\1).)+)\1,\s/g)
  return [...names].map(([, , name = '']) =>
    name.replaceAll("\\'", "'").replace(/ \((?:FC|RUN)_SEED=.*|^\$\{\w+\} /, ''),
  )
}

test.each(PAGES)('the links of %s lead to files that exist', (page) => {
  const links = [...read(page).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)].map(([, path = '']) => path)
  const missing = links.filter((path) => !existsSync(join(ROOT, page, '..', path)))
  expect(missing).toEqual([])
})

describe('the README', () => {
  const rows = rowsOf(read('README.md'))

  test.each([...Object.entries(OUTCOMES), ...Object.entries(FLAGS)])(
    'says of %s what the glossary says',
    (name, { meaning, todo }) => {
      expect(rows).toContainEqual([`\`${name}\``, meaning, todo])
    },
  )

  test('shows the picture of a report, which is small enough to load', () => {
    expect(read('README.md')).toContain('](docs/report.png)')
    expect(readFileSync(join(ROOT, 'docs/report.png')).length).toBeLessThan(200_000)
  })
})

describe('the guarantees', () => {
  const guarantees = read('docs/guarantees.md').split(/^\*\*/m).slice(1)

  test.each(guarantees.map((text) => [text.slice(0, text.indexOf('**')), text]))('%s', (_sentence, text) => {
    const tests = [...text.matchAll(/^- `(test\/[^`]+\.test\.ts)`: (.+)$/gm)]
    expect(tests.length).toBeGreaterThan(0)
    const missing = tests.filter(([, file = '', name = '']) => !namesIn(file).includes(name))
    expect(missing.map(([line]) => line)).toEqual([])
  })
})

test('the runbook names every limit and threshold, with its default', () => {
  const configuration = new Map(
    rowsOf(read('docs/runbook.md')).flatMap(([names = '', defaults = '']) => {
      const values = defaults.split(', ')
      return names.split(', ').map((name, place): [string, string | undefined] => [name, values[place]])
    }),
  )
  for (const [variable, schema] of Object.entries(NUMBERS))
    expect([variable, configuration.get(`\`${contextName(variable)}\``)]).toEqual([
      variable,
      String(schema.parse(undefined)),
    ])
})

test('messages and comments name headings of the runbook, and files in docs/, that exist', () => {
  const sources = ['bin', 'infra', 'lambda'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .map((path) => read(join(folder, path))),
  )
  const text = sources.join('\n')
  const headings = [...text.matchAll(/docs\/runbook\.md, "([^"]+)"/g)].map(([, heading = '']) => heading)
  expect(headings.length).toBeGreaterThan(1)
  const runbook = read('docs/runbook.md')
  expect(headings.filter((heading) => !runbook.includes(`\n## ${heading}\n`))).toEqual([])
  const files = [...text.matchAll(/docs\/[\w/-]+\.(?:md|sql|yml)/g)].map(([path]) => path)
  expect(files.filter((path) => !existsSync(join(ROOT, path)))).toEqual([])
})

test('the version is the same in package.json, the lock file and the changelog', () => {
  const [, newest] = /^## (\S+)$/m.exec(read('CHANGELOG.md')) ?? []
  expect([manifest.version, lock.version, lock.packages[''].version]).toEqual([newest, newest, newest])
})

describe('the dependencies', () => {
  const listed = rowsOf(read('CONTRIBUTING.md')).flatMap(([packages = '', licence]) =>
    [...packages.matchAll(/`((?:@[\w-]+\/)?[\w-]+)`/g)].map(([, name]) => [name, licence]),
  )

  test('are all listed in CONTRIBUTING.md, with the licences that the packages name', () => {
    const packages: Record<string, { license?: string }> = lock.packages
    const all = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies })
    for (const name of all) expect(listed).toContainEqual([name, packages[`node_modules/${name}`]?.license])
  })

  test('are locked without the address of a registry', () => {
    expect(read('package-lock.json')).not.toContain('"resolved"')
  })
})
