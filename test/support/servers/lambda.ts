import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { ExitCard } from '../../../lambda/exit-card.ts'

export type Answer = { card?: ExitCard; error?: { name: string; message: string; stack: string } }

/** What a Lambda process gave back, and everything that it wrote. */
export type Invoked = {
  readonly answers: Answer[]
  readonly output: string
  readonly lines: Record<string, unknown>[]
}

/**
 * Sends events, one after the other, to the deployed handler in a process of its own, with this environment.
 */
export async function invokeInProcess(
  env: Record<string, string>,
  events: readonly unknown[],
): Promise<Invoked> {
  const child = fork(fileURLToPath(new URL('lambda-child.ts', import.meta.url)), {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: {
      PATH: process.env.PATH,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      ...env,
    },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const ended = Promise.all([child.stdout, child.stderr].map(async (stream) => stream && once(stream, 'end')))
  await once(child, 'message')
  child.send([...events])
  const [answers] = (await once(child, 'message')) as [Answer[]]
  child.disconnect()
  await ended
  const lines = output
    .split('\n')
    .flatMap((line): Record<string, unknown>[] =>
      line.startsWith('{') ? [JSON.parse(line) as Record<string, unknown>] : [],
    )
  return { answers, output, lines }
}
