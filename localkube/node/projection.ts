/**
 * Writes a set of files so that a reader sees the old set or the new one and never a mix: the files lie in a folder of
 * their own, `..data` points to it and is replaced by rename, and each name is a link through `..data` (as kubelet does).
 */
import { randomBytes } from 'node:crypto'
import { chmod, chown, mkdir, readdir, readFile, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'

export interface ProjectedFile {
  /** Relative, without `..`. */
  path: string
  content: Buffer
  mode: number
}

/** With `group`, the files belong to that group, which may read them. */
export async function writeProjection(folder: string, files: ProjectedFile[], group?: number): Promise<void> {
  for (const { path } of files) {
    if (path.startsWith('/') || path.startsWith('..') || normalize(path).startsWith('..'))
      throw new Error(`a projected file may not leave its volume: ${path}`)
  }
  const link = join(folder, '..data')
  const before = await readlink(link).catch(() => undefined)
  if (before !== undefined && (await isSame(join(folder, before), files))) return

  const name = `..${new Date().toISOString().replaceAll(/[:.]/g, '_')}.${randomBytes(4).toString('hex')}`
  await mkdir(join(folder, name), { mode: 0o755 })
  await Promise.all(
    files.map(async ({ path, content, mode }) => {
      const target = join(folder, name, path)
      await mkdir(dirname(target), { recursive: true })
      await writeFile(target, content)
      if (group !== undefined) await chown(target, 0, group)
      await chmod(target, group === undefined ? mode : mode | 0o440)
    }),
  )
  await symlink(name, join(folder, '..next'))
  await rename(join(folder, '..next'), link)
  await linkNames(folder, files)
  if (before !== undefined) await rm(join(folder, before), { recursive: true, force: true })
}

/** The visible names: made for what is new, removed for what is gone. */
async function linkNames(folder: string, files: ProjectedFile[]): Promise<void> {
  const wanted = new Set(files.map(({ path }) => normalize(path).split('/')[0] ?? path))
  const present = new Set((await readdir(folder)).filter((entry) => !entry.startsWith('..')))
  await Promise.all([
    ...[...wanted].filter((n) => !present.has(n)).map((n) => symlink(join('..data', n), join(folder, n))),
    ...[...present].filter((n) => !wanted.has(n)).map((n) => rm(join(folder, n), { force: true })),
  ])
}

async function isSame(folder: string, files: ProjectedFile[]): Promise<boolean> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  if (entries.filter((e) => e.isFile()).length !== files.length) return false
  for (const { path, content } of files) {
    const present = await readFile(join(folder, path)).catch(() => undefined)
    if (!present?.equals(content)) return false
  }
  return true
}
