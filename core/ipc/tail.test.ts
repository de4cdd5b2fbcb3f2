import { appendFileSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { Folder } from './folder.ts'
import { limits } from './limits.ts'
import { readTail, type TailCursor, tailStart } from './tail.ts'

let path: string
let folder: Folder
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'k8sclaw-tail-'))
  folder = Folder.open(path)
})
afterEach(() => {
  folder.close()
  rmSync(path, { recursive: true, force: true })
})

function drain(cursor: TailCursor): { lines: string[]; tooLong: number; cursor: TailCursor } {
  const lines: string[] = []
  let tooLong = 0
  for (;;) {
    const batch = readTail(folder, 'events.jsonl', cursor)
    lines.push(...batch.lines.map(String))
    tooLong += batch.tooLong
    cursor = batch.cursor
    if (!batch.more) return { lines, tooLong, cursor }
  }
}

it('gives every line once, however the writer cuts its appends', () => {
  fc.assert(
    fc.property(
      fc.array(fc.stringMatching(/^[a-z]{1,20}$/), { maxLength: 20 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 30 })),
      (lines, cuts) => {
        rmSync(join(path, 'events.jsonl'), { force: true })
        let text = lines.map((line) => `${line}\n`).join('')
        const seen: string[] = []
        let cursor = tailStart
        for (const cut of cuts) {
          if (text === '') break
          appendFileSync(join(path, 'events.jsonl'), text.slice(0, cut))
          text = text.slice(cut)
          const step = drain(cursor)
          seen.push(...step.lines)
          cursor = step.cursor
        }
        expect(seen).toEqual(lines)
      },
    ),
    { numRuns: 50 },
  )
})

it('waits for the end of a line, skips empty ones, and begins again with a file that was replaced or cut', () => {
  const file = join(path, 'events.jsonl')
  writeFileSync(file, 'one\n\ntw')
  const first = drain(tailStart)
  expect(first.lines).toEqual(['one'])
  appendFileSync(file, 'o\n')
  const second = drain(first.cursor)
  expect(second.lines).toEqual(['two'])
  writeFileSync(file, 'new\n')
  expect(drain(second.cursor).lines).toEqual(['new'])
})

it('leaves out a line that is too long, once, and goes on behind it, whatever its length', () => {
  for (const length of [limits.eventLineBytes + 1, 300_000, 2_000_000]) {
    writeFileSync(join(path, 'events.jsonl'), `before\n${'x'.repeat(length)}`)
    const first = drain(tailStart)
    appendFileSync(join(path, 'events.jsonl'), `${'x'.repeat(10)}\nafter\n`)
    const second = drain(first.cursor)
    expect([first.lines, second.lines, first.tooLong + second.tooLong]).toEqual([['before'], ['after'], 1])
  }
  writeFileSync(join(path, 'events.jsonl'), `${'x'.repeat(limits.eventLineBytes)}\n`)
  expect(drain(tailStart).lines).toHaveLength(1)
})

it('takes nothing from a link', () => {
  writeFileSync(join(path, 'other'), 'secret\n')
  symlinkSync('other', join(path, 'events.jsonl'))
  expect(drain(tailStart).lines).toEqual([])
})
