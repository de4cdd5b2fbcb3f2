/** Programs that tests need and no registry of packages has: built once from a Go module of ours, kept by its content. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, join } from 'node:path'

export interface GoModule {
  /** The folder with go.mod, main.go and, where it has one, go.sum. */
  source: string
  /** Names of the one binary that is built, one for each program that it can be. */
  programs: string[]
  /** What the folder's name says besides the module's. */
  version?: string
  /** For the linker, besides -s and -w. */
  stamps?: string[]
}

/** Of this user; what is in it can be made again. */
export function cacheFolder(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'k8sclaw')
}

/** The folder that holds the programs, after building them where that is needed; undefined where there is no Go for it. */
export function goPrograms(module: GoModule, say: (sentence: string) => void = () => undefined): string | undefined {
  const { source, version } = module
  const hash = createHash('sha256')
  for (const file of ['go.mod', 'go.sum', 'main.go']) {
    if (existsSync(join(source, file))) hash.update(readFileSync(join(source, file)))
  }
  const name = [basename(source), version, hash.digest('hex').slice(0, 12)].filter(Boolean).join('-')
  const folder = join(cacheFolder(), name)
  if (existsSync(folder)) return folder
  // Asked in the module's folder: a Go too old for it, that may not fetch a newer one, fails here already.
  if (spawnSync('go', ['version'], { cwd: source }).status !== 0) return undefined
  say(`building ${module.programs.join(', ')} into ${folder}; this takes some minutes, once`)
  build(module, folder)
  return folder
}

/** Builds beside the folder and renames, so that a folder that exists is whole. */
function build({ source, programs, stamps = [] }: GoModule, folder: string): void {
  const binary = basename(source)
  const parent = join(folder, '..')
  mkdirSync(parent, { recursive: true })
  const unfinished = mkdtempSync(join(parent, '.building-'))
  try {
    const flags = ['-p', '2', '-trimpath', '-buildvcs=false', '-ldflags', ['-s -w', ...stamps].join(' ')]
    const go = spawnSync('nice', ['-n', '19', 'go', 'build', ...flags, '-o', join(unfinished, binary), '.'], {
      cwd: source,
      stdio: ['ignore', 'ignore', 'pipe'],
      encoding: 'utf8',
      env: { ...process.env, CGO_ENABLED: '0' },
    })
    if (go.status !== 0) throw new Error(`${binary} could not be built:\n${go.stderr}`)
    for (const name of programs) if (name !== binary) symlinkSync(binary, join(unfinished, name))
    renameSync(unfinished, folder)
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true })
    // Somebody else may have built it meanwhile.
    if (!existsSync(folder)) throw error
  }
}
