import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { chatRequest } from './request.ts'

const page = readFileSync('docs/openai.md', 'utf8')
const namesAfter = (mark: string) => {
  const table = page.split(`<!-- ${mark} -->\n`)[1]?.split('\n\n')[0] ?? ''
  const cells = table.startsWith('|')
    ? table
        .split('\n')
        .slice(2)
        .map((row) => row.split('|')[1] ?? '')
    : [table]
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? ''))
}

test('docs/openai.md says of every parameter what becomes of it', () => {
  const heeded = ['model', 'messages', 'stream', 'stream_options', 'metadata']
  for (const name of heeded) expect(page).toMatch(new RegExp(`\\b${name}\\b`))
  const named = [...heeded, ...namesAfter('no effect'), ...namesAfter('refused')]
  expect(named.sort()).toEqual(Object.keys(chatRequest.shape).sort())
})
