/** Where the volumes and the image of a container lie, for it and on this machine. */
import { lstat, mkdir, realpath, stat } from 'node:fs/promises'
import { dirname, join, posix, relative, sep } from 'node:path'
import { ConfigError } from './environment.ts'
import type { Image } from './images.ts'
import type { Container, Pod } from './objects.ts'
import { isProjection } from './volumes.ts'

export interface Mount {
  source: string
  target: string
  readOnly: boolean
}

/** The container's mounts, outer ones before those inside them. */
export async function mountsOf(
  pod: Pod,
  container: Container,
  image: Image,
  folders: ReadonlyMap<string, string>,
): Promise<Mount[]> {
  const mounts: Mount[] = (image.mounts ?? []).map(({ source, target }) => ({ source, target, readOnly: true }))
  for (const { name, mountPath, subPath, readOnly } of container.volumeMounts ?? []) {
    const folder = folders.get(name)
    const volume = pod.spec.volumes?.find((v) => v.name === name)
    if (folder === undefined || !volume) throw new ConfigError(`no volume named "${name}"`)
    mounts.push({
      source: subPath ? await within(folder, subPath, isProjection(volume)) : folder,
      target: clean(mountPath),
      readOnly: readOnly === true || isProjection(volume) || volume.persistentVolumeClaim?.readOnly === true,
    })
  }
  const sorted = mounts.toSorted((a, b) => a.target.split('/').length - b.target.split('/').length)
  await Promise.all(sorted.map((mount) => makeMountPoint(mount, sorted)))
  return sorted
}

/**
 * The volumes whose mount path lies inside another's, in any container. Where there are no mounts (isolation none) their
 * folders must lie inside the other's as well, so that a program that joins paths finds them.
 */
export function nestedVolumes(pod: Pod): Map<string, { parent: string; path: string }> {
  const nested = new Map<string, { parent: string; path: string }>()
  for (const container of [...(pod.spec.initContainers ?? []), ...pod.spec.containers]) {
    for (const inner of container.volumeMounts ?? []) {
      const outer = outermost(inner.mountPath, container.volumeMounts ?? [])
      const volume = pod.spec.volumes?.find((v) => v.name === inner.name)
      if (!outer || !volume?.emptyDir || inner.subPath || outer.subPath) continue
      nested.set(inner.name, {
        parent: outer.name,
        path: posix.relative(clean(outer.mountPath), clean(inner.mountPath)),
      })
    }
  }
  return nested
}

/** The mount that holds this path, if another one does. */
export function holderOf(target: string, mounts: Mount[]): Mount | undefined {
  return mounts.findLast((m) => target !== m.target && target.startsWith(`${m.target}/`))
}

function outermost<T extends { mountPath: string }>(path: string, mounts: T[]): T | undefined {
  return mounts.find((m) => clean(m.mountPath) !== clean(path) && clean(path).startsWith(`${clean(m.mountPath)}/`))
}

/** A mount inside another one needs a folder (or file) there to lie on. */
async function makeMountPoint(mount: Mount, mounts: Mount[]): Promise<void> {
  const holder = holderOf(mount.target, mounts)
  if (!holder) return
  const inside = posix.relative(holder.target, mount.target)
  if ((await stat(mount.source)).isDirectory()) return await makeInside(holder.source, inside)
  await makeInside(holder.source, dirname(inside))
  const present = await lstat(join(holder.source, inside)).catch(() => undefined)
  if (present?.isSymbolicLink()) throw new ConfigError(`"${inside}" in the volume is a link; nothing is mounted there`)
}

/** A path inside a volume: made if missing where the volume can be written, and never a way out of it. */
async function within(folder: string, subPath: string, mustExist: boolean): Promise<string> {
  if (subPath.startsWith('/') || subPath.split('/').includes('..'))
    throw new ConfigError(`subPath "${subPath}" is not inside`)
  const path = join(folder, subPath)
  const exists = await lstat(path).then(
    () => true,
    () => false,
  )
  if (!mustExist && !exists) await makeInside(folder, subPath)
  const [real, root] = await Promise.all([realpath(path).catch(() => undefined), realpath(folder)])
  if (real === undefined) throw new ConfigError(`subPath "${subPath}" does not exist`)
  if (relative(root, real).split(sep)[0] === '..') throw new ConfigError(`subPath "${subPath}" leads out of the volume`)
  return real
}

/**
 * Makes the folders on the way to a path in a volume, one by one: the node is root, and what containers left in the
 * volume may be links to anywhere.
 */
async function makeInside(folder: string, path: string): Promise<void> {
  let at = folder
  for (const name of path.split('/').filter((part) => part !== '' && part !== '.')) {
    at = join(at, name)
    await mkdir(at).catch(ignoreExisting)
    if (!(await lstat(at)).isDirectory())
      throw new ConfigError(`"${path}" in the volume leads over what is not a folder`)
  }
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error
}

function clean(path: string): string {
  return posix.normalize(path).replace(/(.)\/$/, '$1')
}
