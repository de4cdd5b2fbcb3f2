import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Folder } from './folder.ts'
import { watchFolder } from './watch.ts'

let path: string
let folder: Folder
let stop: AbortController
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'k8sclaw-watch-'))
  folder = Folder.open(path)
  stop = new AbortController()
})
afterEach(() => {
  folder.close()
  rmSync(path, { recursive: true, force: true })
})

it('sees what was there before it began, what comes later, and what comes after the folder was moved', async () => {
  writeFileSync(join(path, 'before'), '')
  const seen = new Set<string>()
  const done = watchFolder(
    folder,
    () => {
      for (const { name } of folder.entries(100)) seen.add(name)
    },
    stop.signal,
  )
  await vi.waitFor(() => expect(seen).toContain('before'))
  writeFileSync(join(path, 'later'), '')
  await vi.waitFor(() => expect(seen).toContain('later'))
  renameSync(path, `${path}-moved`)
  writeFileSync(join(`${path}-moved`, 'moved'), '')
  await vi.waitFor(() => expect(seen).toContain('moved'))
  stop.abort()
  await done
  rmSync(`${path}-moved`, { recursive: true })
})

it('never scans twice at once, and scans again after a change that came during a scan', async () => {
  let running = 0
  let most = 0
  let scans = 0
  const done = watchFolder(
    folder,
    async () => {
      most = Math.max(most, ++running)
      if (++scans === 1) writeFileSync(join(path, 'during'), '')
      await new Promise((resolve) => setTimeout(resolve, 5))
      running--
    },
    stop.signal,
  )
  await vi.waitFor(() => expect(scans).toBeGreaterThan(2))
  stop.abort()
  await done
  expect(most).toBe(1)
})

it('hands on what a scan throws', async () => {
  await expect(watchFolder(folder, () => Promise.reject(new Error('broken')), stop.signal)).rejects.toThrow('broken')
})
