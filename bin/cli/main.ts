import { type Command, mayWrite, readCommand } from './line/command.ts'
import { messageFor } from './messages.ts'
import { openPlace, type Place } from './place.ts'
import { prose } from './print/prose.ts'
import { printable, type Terminal } from './terminal.ts'
import { FAILED } from '../exit-status.ts'

/** The whole command: from its arguments to its exit status. */
export async function main(args: readonly string[], terminal: Terminal): Promise<number> {
  let command: Command | undefined
  let place: Place | undefined
  try {
    const read = readCommand(args, process.env, terminal.out.columns)
    if ('print' in read) {
      terminal.out.write(read.print)
      return 0
    }
    command = read
    if (typeof read.given.publicKey === 'string') await usePublicKeys(read.given.publicKey)
    const opening = opened(command, terminal)
    // The sandbox's servers start while the job's modules are loaded.
    const [session] = await Promise.all([import('./session.ts'), opening])
    place = await opening
    return await session.runCommand(command, place, terminal)
  } catch (error) {
    const readonly = process.env.READONLY_DATABASE_URL !== undefined && command && !mayWrite(command.payload)
    const debug = args.includes('--debug')
    terminal.err.write(
      messageFor(error, {
        debug,
        columns: terminal.err.columns,
        payloads: args.includes('--event'),
        readonly: readonly === true,
        given: command?.given ?? {},
      }),
    )
    return FAILED
  } finally {
    await place?.close()
  }
}

/** The handler reads its configuration from the environment. */
async function usePublicKeys(file: string): Promise<void> {
  const { publicKeysOfFile } = await import('../public-key-file.ts')
  const keys = await publicKeysOfFile(file)
  process.env.SIGNING_PUBLIC_KEYS = keys.map((key) => key.export({ type: 'spki', format: 'pem' })).join('')
}

async function opened({ payload, given }: Command, { err }: Terminal): Promise<Place> {
  const needs = { writes: mayWrite(payload), localLogs: given.localLogs === true }
  return openPlace(process.env, needs, (text) => err.write(`${prose(printable(text), err.columns)}\n`))
}
