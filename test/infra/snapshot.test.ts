import { expect, test } from 'vitest'
import { EVERYTHING, LEAST, templateWith } from './synthesized.ts'

/**
 * The whole templates, so that a change shows in review what it changes in the deployment: a line a property,
 * sorted, with hashes of code left out. After an intended change: npx vitest run test/infra/snapshot.test.ts
 * -u
 */
test.for([
  ['the least that must be configured', LEAST, 'least'],
  ['everything that can be configured', EVERYTHING, 'everything'],
] as const)('the template with %s', async ([, values, name]) => {
  const { Resources, Outputs } = templateWith(values).toJSON() as Record<'Resources' | 'Outputs', object>
  await expect(lines({ Outputs, Resources })).toMatchFileSnapshot(`snapshots/${name}.txt`)
})

function lines(value: object): string {
  const text = render(value, '').join('\n')
  return `${text
    .replace(/[0-9a-f]{64}(?=\.zip)/g, '<code>')
    .replace(/(CurrentVersion[0-9A-F]{8})[0-9a-f]{32}/g, '$1<version>')}\n`
}

/** An indented outline: names sorted, lists in their order, intrinsic functions and texts on one line. */
function render(value: unknown, indent: string): string[] {
  if (!isBranch(value)) return [`${indent}${JSON.stringify(value)}`]
  const entries: [string, unknown][] = Array.isArray(value)
    ? value.map((item): [string, unknown] => ['-', item])
    : Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return entries.flatMap(([name, item]) =>
    isBranch(item)
      ? [`${indent}${name}`, ...render(item, `${indent}  `)]
      : [`${indent}${name}: ${JSON.stringify(item)}`],
  )
}

function isBranch(value: unknown): value is object {
  if (typeof value !== 'object' || value === null || Object.keys(value).length === 0) return false
  return !Object.keys(value).some((key) => key === 'Ref' || key === 'Fn::GetAtt')
}
