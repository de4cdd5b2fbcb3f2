import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errorMessage } from '#core/errors'
import type { TaskMessage } from '#core/journal'
import type { FindBins } from './sandbox-client.ts'
import { sha256 } from './tool-calls.ts'

export type Skill = NonNullable<TaskMessage['effective']['skills']>[number]

export interface SkillFolders {
  /** The ConfigMaps, which somebody may have changed since the run was resolved. */
  sources: string
  /** What the agent sees. */
  out: string
}

export type PreparedSkills =
  /** Those that the agent does not see, and why. */
  | { leftOut: { name: string; reason: string }[] }
  /** Not what the run was resolved with. */
  | { changed: string }

/**
 * Gives the agent the skills that its run was resolved with: exactly those bytes, by their hash, and only where the
 * sandbox has the programs that they require. What cannot be given whole and unchanged must not be given at all.
 */
export async function prepareSkills(
  skills: readonly Skill[],
  folders: SkillFolders | undefined,
  findBins: FindBins,
): Promise<PreparedSkills> {
  const wanted = new Set(skills.flatMap(({ bins }) => bins ?? []))
  const present = wanted.size > 0 ? await findBins([...wanted]) : new Set<string>()
  const leftOut: { name: string; reason: string }[] = []
  for (const { name, key, sha256: expected, bins = [] } of skills) {
    const bytes = folders ? await readFile(join(folders.sources, key)).catch(errorMessage) : 'it is not mounted'
    if (!folders || typeof bytes === 'string') return { changed: `skill ${name} cannot be read: ${bytes}` }
    if (sha256(bytes) !== expected) return { changed: `skill ${name} is not what the run was resolved with` }
    const missing = bins.find((bin) => !present.has(bin))
    if (missing !== undefined) leftOut.push({ name, reason: `it requires ${missing}, which the sandbox does not have` })
    else await place(folders.out, key, bytes)
  }
  return { leftOut }
}

/** Whole or not at all, also where an earlier bridge was killed over it. */
async function place(folder: string, key: string, bytes: Buffer): Promise<void> {
  const temporary = join(folder, `.${key}.tmp`)
  await writeFile(temporary, bytes, { mode: 0o640 })
  await rename(temporary, join(folder, key))
}
