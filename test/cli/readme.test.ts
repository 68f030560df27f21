import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'

const PROJECT = fileURLToPath(new URL('../../', import.meta.url))

/**
 * Every line of the README's ```sh blocks that begins with `npm start` or `npx credit-expiry` is run as
 * written, in order, in one new sandbox. `<dry run id>` and `<run id>` are the last dry run and the last
 * execute run before the line. A line must exit with 0, or with what a comment at its end says: `npm start --
 * --resume x  # exits with 1`.
 */
function commandsIn(readme: string): { line: string; status: number }[] {
  const blocks = [...readme.matchAll(/^```sh\n(.*?)^```/gms)].map(([, block = '']) => block)
  const lines = blocks
    .join('')
    .split('\n')
    .filter((line) => /^(npm start|npx credit-expiry)\b/.test(line))
  return lines.map((line) => ({ line, status: Number(/# exits with (\d)/.exec(line)?.[1] ?? 0) }))
}

let folder: string
beforeAll(async () => {
  // The project as a fresh clone has it, with a sandbox of its own.
  folder = await mkdtemp(join(tmpdir(), 'credit-expiry-readme-'))
  for (const name of ['bin', 'node_modules', 'package.json'])
    await symlink(join(PROJECT, name), join(folder, name))
})
afterAll(async () => rm(folder, { recursive: true }))

function inShell(
  line: string,
): Promise<{ status: number | string | null | undefined; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const env = { PATH: process.env.PATH, HOME: folder, npm_config_update_notifier: 'false' }
    execFile('sh', ['-c', line], { cwd: folder, env }, (error, stdout, stderr) =>
      resolve({ status: error ? error.code : 0, stdout, stderr }),
    )
  })
}

/** The lines of an output, without what differs from run to run. */
function linesOf(output: string): string[] {
  return output
    .split('\n')
    .filter((line) => !/^Asked by: |^Software version: |^ *…$/.test(line))
    .map((line) => line.replace(/\d{4}-\d\d-\d\dT\S+-dry-run-\w+/, '<dry run id>'))
}

test(
  'the commands in the README do what they say, and print what it shows',
  { timeout: 900_000 },
  async () => {
    const readme = await readFile(join(PROJECT, 'README.md'), 'utf8')
    const commands = commandsIn(readme)
    expect(commands.length).toBeGreaterThanOrEqual(2)
    const ids = { '<dry run id>': '', '<run id>': '' }
    const printed: string[] = []
    for (const { line, status } of commands) {
      const filled = line
        .replaceAll('<dry run id>', ids['<dry run id>'])
        .replaceAll('<run id>', ids['<run id>'])
      const ended = await inShell(filled)
      expect({ line, ...ended }).toMatchObject({ line, status })
      printed.push(ended.stdout)
      ids['<dry run id>'] = /^Dry run (\S+)/m.exec(ended.stdout)?.[1] ?? ids['<dry run id>']
      ids['<run id>'] = /^Execute (\S+)/m.exec(ended.stdout)?.[1] ?? ids['<run id>']
    }
    const [, shown = 'no output is shown'] = /^```\n(Dry run .*?)^```/ms.exec(readme) ?? []
    expect(linesOf(printed[0] ?? '')).toEqual(expect.arrayContaining(linesOf(shown)))
  },
)
