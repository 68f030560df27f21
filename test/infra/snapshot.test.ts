import { expect, test } from 'vitest'
import { EVERYTHING, LEAST, templateWith } from './synthesized.ts'

/**
 * The whole templates, so that a review shows what a change does to the deployment: a line a property, names
 * sorted, references as `${…}`, JSON and SQL unfolded, hashes of code left out. After an intended change: npx
 * vitest run test/infra/snapshot.test.ts -u
 */
test.for([
  ['the least that must be configured', LEAST, 'least'],
  ['everything that can be configured', EVERYTHING, 'everything'],
] as const)('the template with %s', async ([, values, name]) => {
  const { Resources, Outputs } = templateWith(values).toJSON() as Record<'Resources' | 'Outputs', object>
  await expect(outline({ Outputs, Resources })).toMatchFileSnapshot(`snapshots/${name}.txt`)
})

function outline(template: object): string {
  const text = render(readable(template), '').join('\n')
  return `${text
    .replace(/[0-9a-f]{64}(?=\.zip)/g, '<code>')
    .replace(/(CurrentVersion[0-9A-F]{8})[0-9a-f]{32}/g, '$1<version>')}\n`
}

/** References and joins as text, and text that is JSON as what it holds. */
function readable(value: unknown): unknown {
  if (typeof value === 'string') return unfolded(value)
  if (Array.isArray(value)) return value.map(readable)
  if (typeof value !== 'object' || value === null) return value
  const given = value as Record<string, unknown>
  if ('Ref' in given) return `\${${String(given['Ref'])}}`
  if ('Fn::GetAtt' in given) return `\${${(given['Fn::GetAtt'] as string[]).join('.')}}`
  if ('Fn::Join' in given) {
    const [separator, parts] = given['Fn::Join'] as [string, unknown[]]
    return unfolded(
      parts.map((part) => (typeof part === 'string' ? part : textOf(readable(part)))).join(separator),
    )
  }
  return Object.fromEntries(Object.entries(given).map(([name, item]) => [name, readable(item)]))
}

function unfolded(text: string): unknown {
  if (!text.startsWith('{"')) return text
  try {
    return readable(JSON.parse(text))
  } catch {
    return text
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function render(value: unknown, indent: string): string[] {
  if (!isBranch(value))
    return textOf(value)
      .split('\n')
      .map((line) => `${indent}${line}`.trimEnd())
  const entries: [string, unknown][] = Array.isArray(value)
    ? value.map((item): [string, unknown] => ['-', item])
    : Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return entries.flatMap(([name, item]) => {
    if (name === 'Tags') return [`${indent}Tags: ${JSON.stringify(item)}`]
    const folded = isBranch(item) || textOf(item).includes('\n')
    return folded
      ? [`${indent}${name}`, ...render(item, `${indent}  `)]
      : [`${indent}${name}: ${textOf(item)}`]
  })
}

function isBranch(value: unknown): value is object {
  return typeof value === 'object' && value !== null && Object.keys(value).length > 0
}
