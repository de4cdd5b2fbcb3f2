import { access, constants, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** Which of the names a command would find on `path`: regular files that this process may execute, links followed. */
export async function findBins(names: readonly string[], path: string): Promise<string[]> {
  const folders = path.split(':').filter((folder) => folder !== '')
  const found = await Promise.all(names.map(async (name) => ((await isThere(name, folders)) ? [name] : [])))
  return found.flat()
}

async function isThere(name: string, folders: readonly string[]): Promise<boolean> {
  for (const folder of folders) {
    const file = join(folder, name)
    const executable = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (executable && (await stat(file)).isFile()) return true
  }
  return false
}
