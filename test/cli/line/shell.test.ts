import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { readCommand } from '../../../bin/cli/line/command.ts'
import { commandFor, quoted } from '../../../bin/cli/line/shell.ts'

const RUN = '2026-11-22T06-12-30-123Z-execute-k3j9'
const DRY_RUN = '2026-11-22T06-12-30-123Z-dry-run-k3j9'

/** What a shell makes of a command line: the arguments that `npm start` gets. */
function argumentsOf(line: string): string[] {
  const script = `npm() { printf '%s\\0' "$@"; }\n${line}`
  const output = execFileSync('sh', ['-c', script], { encoding: 'utf8' })
  const [start, dashes, ...rest] = output.split('\0').slice(0, -1)
  expect([start, dashes ?? '--']).toEqual(['start', '--'])
  return rest
}

test.each<[Record<string, unknown>, string]>([
  [{}, 'npm start'],
  [{ execute: true }, 'npm start -- --execute'],
  [{ execute: true, plan: DRY_RUN }, `npm start -- --execute --plan ${DRY_RUN}`],
  [{ resume: RUN }, `npm start -- --resume ${RUN}`],
  [{ rollback: RUN }, `npm start -- --rollback ${RUN}`],
  [
    { rollback: RUN, execute: true, reason: "that wasn't meant; $HOME stays" },
    `npm start -- --rollback ${RUN} --execute --reason 'that wasn'\\''t meant; $HOME stays'`,
  ],
  [
    { execute: true, domains: ['kilo.ai'], userIds: ['a', 'oauth/google:1'], batchSize: 5 },
    'npm start -- --execute --domains kilo.ai --user-ids a,oauth/google:1 --batch-size 5',
  ],
  [{ diff: [DRY_RUN, RUN] }, `npm start -- --diff ${DRY_RUN} ${RUN}`],
  [{ hold: 'a migration' }, "npm start -- --hold 'a migration'"],
  [{ check: true }, 'npm start -- --check'],
  [{ execute: false }, 'npm start -- --dry-run'],
  [{ execute: true, limits: { usd: 5, users: 3 } }, 'npm start -- --execute --limit-usd 5 --limit-users 3'],
])('%j is sent by a command line that a shell takes as meant', (payload, line) => {
  expect(commandFor(payload)).toBe(line)
  expect(readCommand(argumentsOf(line), {})).toMatchObject({ event: payload })
})

test.each<[string, Record<string, unknown>]>([
  ['a field without an option', { execute: true, requestKey: 'k' }],
  ['a comma in a user id', { userIds: ['a,b'] }],
  ['a blank around a user id', { userIds: [' a'] }],
  ['quotes, dollars, backslashes and new lines', { userIds: [`it's "x" \\ $(rm) \`y\`\n!`] }],
  ['a reason that looks like an option', { reason: '--execute' }],
])('%s: the payload goes as it is', (_, payload) => {
  const line = commandFor(payload)
  expect(line).toMatch(/^npm start -- --event /)
  expect(readCommand(argumentsOf(line), {})).toMatchObject({ event: payload })
})

test('words that a shell would change are quoted', () => {
  expect(quoted('s3://bucket/logs/a-b_c.jsonl')).toBe('s3://bucket/logs/a-b_c.jsonl')
  expect(quoted('a b')).toBe("'a b'")
  expect(quoted('')).toBe("''")
  expect(quoted("it's")).toBe("'it'\\''s'")
})
