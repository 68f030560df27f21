import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'

const PROJECT = fileURLToPath(new URL('../../', import.meta.url))

/**
 * Every line of a README's ```sh blocks that begins with `npm start` is run as written, in order, in one new
 * sandbox. `<dry run id>` and `<run id>` are the last dry run and the last execute run before the line. A
 * line must exit with 0, or with what a comment at its end says: `npm start -- --resume x  # exits with 1`.
 */
function commandsIn(readme: string): { line: string; status: number }[] {
  const blocks = [...readme.matchAll(/^```sh\n(.*?)^```/gms)].map(([, block = '']) => block)
  const lines = blocks
    .join('')
    .split('\n')
    .filter((line) => line.startsWith('npm start'))
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

test('the commands in the README do what they say', { timeout: 900_000 }, async () => {
  const commands = commandsIn(await readFile(join(PROJECT, 'README.md'), 'utf8'))
  expect(commands.length).toBeGreaterThanOrEqual(2)
  const ids = { '<dry run id>': '', '<run id>': '' }
  for (const { line, status } of commands) {
    const filled = line
      .replaceAll('<dry run id>', ids['<dry run id>'])
      .replaceAll('<run id>', ids['<run id>'])
    const ended = await inShell(filled)
    expect({ line, ...ended }).toMatchObject({ line, status })
    ids['<dry run id>'] = /^Dry run (\S+)/m.exec(ended.stdout)?.[1] ?? ids['<dry run id>']
    ids['<run id>'] = /^Execute (\S+)/m.exec(ended.stdout)?.[1] ?? ids['<run id>']
  }
})
