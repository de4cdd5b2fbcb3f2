import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { findBins } from './bins.ts'

let home = ''
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'k8sclaw-bins-'))
  await Promise.all(['first', 'second', 'second/folder'].map((name) => mkdir(join(home, name), { recursive: true })))
  for (const name of ['first/tool', 'second/other']) {
    await writeFile(join(home, name), '')
    await chmod(join(home, name), 0o755)
  }
  await writeFile(join(home, 'first/text'), '', { mode: 0o644 })
  await symlink('../first/tool', join(home, 'second/link'))
  await symlink('../first/absent', join(home, 'second/dangling'))
})
afterAll(() => rm(home, { recursive: true, force: true }))

it('finds what a command would find: executable files, through links, in any folder of the path', async () => {
  const path = `${join(home, 'absent')}::${join(home, 'first')}:${join(home, 'second')}`
  expect(await findBins(['tool', 'other', 'link', 'text', 'folder', 'dangling', 'nothing'], path)).toEqual([
    'tool',
    'other',
    'link',
  ])
  expect(await findBins(['tool'], '')).toEqual([])
})
