import { type FSWatcher, watch } from 'node:fs'
import type { Folder } from './folder.ts'
import { limits } from './limits.ts'

/**
 * Calls `scan` at the start, whenever something changes in the folder, and at least every 250 ms; never twice at once.
 * Events only make it sooner: they may be late, merged or missing (an overflowing queue, a file system without them).
 * Resolves when `signal` aborts; rejects with what `scan` throws.
 */
export async function watchFolder(
  folder: Folder,
  scan: () => void | Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  let changed = true
  let wake = () => {}
  const poke = () => {
    changed = true
    wake()
  }
  const watcher = tryWatch(folder.path, poke)
  const timer = setInterval(poke, limits.scanMilliseconds)
  signal.addEventListener('abort', poke, { once: true })
  try {
    while (!signal.aborted) {
      if (changed) {
        changed = false
        await scan()
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    }
  } finally {
    signal.removeEventListener('abort', poke)
    clearInterval(timer)
    watcher?.close()
  }
}

/** No watcher where the system gives none (its limit on inotify instances is reached): the interval remains. */
function tryWatch(path: string, poke: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(path, { persistent: false }, poke)
    watcher.on('error', () => watcher.close())
    return watcher
  } catch {
    return undefined
  }
}
