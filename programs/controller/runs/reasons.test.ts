import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { endReasons } from './reasons.ts'

it('every reason by which the controller ends a run is explained in docs/runs.md', async () => {
  const page = await readFile(join(import.meta.dirname, '../../../docs/runs.md'), 'utf8')
  const explained = page.slice(page.indexOf('## The end')).matchAll(/`([A-Z]\w+)`/g)
  const known = new Set([...explained].map(([, reason]) => reason))
  expect(Object.values(endReasons).filter((reason) => !known.has(reason))).toEqual([])
})
