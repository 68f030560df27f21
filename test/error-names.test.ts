import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

/**
 * The bundle is minified: what a class is called there is not its name in the code. Logs, alarms and the
 * workflow go by an error's `name`, so that each class has to say it as a text.
 */

const LAMBDA = join(import.meta.dirname, '..', 'lambda')
const CLASS = /class (\w+)(?:<[^{]*>)? extends (\w+)[^{]*\{\s*([^\n]*)/g

const classes = globSync('**/*.ts', { cwd: LAMBDA }).flatMap((file) =>
  [...readFileSync(join(LAMBDA, file), 'utf8').matchAll(CLASS)].map(
    ([, name = '', parent = '', firstLine = '']) => ({ file, name, parent, firstLine }),
  ),
)

function isError(name: string): boolean {
  if (name === 'Error' || name === 'AggregateError') return true
  return classes.some((each) => each.name === name && isError(each.parent))
}

const errors = classes.filter(({ parent }) => isError(parent))

test('every error of the function is found here', () => {
  const extending = globSync('**/*.ts', { cwd: LAMBDA })
    .map(
      (file) => readFileSync(join(LAMBDA, file), 'utf8').match(/\bextends (Aggregate)?Error\b/g)?.length ?? 0,
    )
    .reduce((sum, count) => sum + count, 0)
  expect(errors.length).toBeGreaterThanOrEqual(extending)
  expect(extending).toBeGreaterThan(15)
})

test.for(errors)('$name names itself ($file)', ({ name, firstLine }) => {
  expect(firstLine).toBe(`override readonly name = '${name}'`)
})
