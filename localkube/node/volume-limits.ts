/** Holds emptyDir volumes to their sizeLimit: what a pod writes is room on this machine's disk. */
import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Log, quantityOf } from '#localkube/api'
import type { Pod } from './objects.ts'

interface LimitedVolume {
  name: string
  /** As it was written. */
  limit: string
  bytes: number
}

/** The volumes of a pod that have a limit. */
export function limitedVolumes({ spec }: Pod): LimitedVolume[] {
  return (spec.volumes ?? []).flatMap(({ name, emptyDir }) => {
    const bytes = quantityOf(emptyDir?.sizeLimit)
    return bytes !== undefined && bytes > 0 ? [{ name, limit: String(emptyDir?.sizeLimit), bytes }] : []
  })
}

/** One volume of a running pod, and how the pod is ended for it. */
export interface Watched {
  volume: LimitedVolume
  folder: string
  evict: (message: string) => void
}

/** A kubelet looks every ten seconds. */
const usualPaceMs = 10_000
/** A tree of millions of files is not measured longer than this; it is looked at again in its turn. */
const measureMs = 30_000

/** Measures until the signal: one volume after another, so that no tenant's tree keeps the machine busy. */
export async function watchVolumeLimits(
  watched: () => Watched[],
  { signal, log, paceMs = usualPaceMs }: { signal: AbortSignal; log: Log; paceMs?: number },
): Promise<void> {
  while (!signal.aborted) {
    for (const { volume, folder, evict } of watched()) {
      if (signal.aborted) return
      const used = await diskUsage(folder, signal)
      if (used === undefined || used <= volume.bytes) continue
      log('warn', 'volume over its limit, pod evicted', { volume: volume.name, limit: volume.limit, used })
      evict(`Usage of EmptyDir volume "${volume.name}" exceeds the limit "${volume.limit}". `)
    }
    await sleep(paceMs, undefined, { signal }).catch(() => undefined)
  }
}

/**
 * Bytes on disk below a folder, which holes of sparse files are not; undefined where they cannot be told. `du` neither
 * follows links nor leaves the file system, whatever the writer of the tree does to it meanwhile.
 */
function diskUsage(folder: string, signal: AbortSignal): Promise<number | undefined> {
  return new Promise((resolve) => {
    // A file that vanished meanwhile makes its status 1; what it printed stands.
    execFile('du', ['-skx', '--', folder], { signal, timeout: measureMs, encoding: 'utf8' }, (_error, stdout) => {
      const kibibytes = /^(\d+)\t/.exec(stdout)?.[1]
      resolve(kibibytes === undefined ? undefined : Number(kibibytes) * 1024)
    })
  })
}
