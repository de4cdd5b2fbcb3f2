import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { limits, type ToolName } from '#core/ipc'
import { perform } from './server.ts'
import { Workspace } from './workspace.ts'

let home: string
let root: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'k8sclaw-sandbox-'))
  root = join(home, 'workspace')
  mkdirSync(root)
  writeFileSync(join(home, 'secret'), 'secret')
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

const call = (tool: ToolName, input: unknown) =>
  perform(tool, input, { workspace: new Workspace(root), env: {} }, new AbortController().signal)
const refused = (code: string, message: string | RegExp) => ({
  ok: false,
  error: { code, message: expect.stringMatching(message) },
})

describe('no file tool leaves the workspace', () => {
  const tries: [ToolName, Record<string, unknown>][] = [
    ['read_file', {}],
    ['write_file', { content: 'x' }],
    ['edit_file', { oldText: 'secret', newText: 'x' }],
    ['list_files', {}],
    ['search_files', { text: 'secret' }],
  ]
  it.each(tries)('%s', async (tool, rest) => {
    symlinkSync(home, join(root, 'out'))
    symlinkSync('../secret', join(root, 'link'))
    for (const path of [
      '../secret',
      '/etc/passwd',
      'a/../../secret',
      'out/secret',
      'link',
      'out',
      '..',
      `${root}-other`,
    ])
      expect(await call(tool, { ...rest, path }), path).toMatchObject({ ok: false })
    expect(readFileSync(join(home, 'secret'), 'utf8')).toBe('secret')
    expect(readdirSync(home).sort()).toEqual(['secret', 'workspace'])
  })

  it('not even while a folder on the way is being swapped for a link', async () => {
    mkdirSync(join(home, 'elsewhere'))
    for (let i = 0; i < 200; i++) {
      const swap = i % 2 === 0
      rmSync(join(root, 'dir'), { recursive: true, force: true })
      if (swap) symlinkSync('../elsewhere', join(root, 'dir'))
      else mkdirSync(join(root, 'dir'))
      const answer = await call('write_file', { path: 'dir/f', content: 'x' })
      expect(answer.ok).toBe(!swap)
    }
    expect(readdirSync(join(home, 'elsewhere'))).toEqual([])
  })
})

describe('write_file and read_file', () => {
  it('write and read back, making folders, by relative or absolute path', async () => {
    expect(await call('write_file', { path: 'a/b/c.txt', content: 'one\ntwo\n' })).toEqual({
      ok: true,
      output: { path: 'a/b/c.txt', bytes: 8, created: true },
    })
    expect(await call('read_file', { path: join(root, 'a/b/c.txt') })).toEqual({
      ok: true,
      output: { content: 'one\ntwo', fromLine: 1, lines: 2, totalLines: 2 },
    })
  })

  it('keep the mode of a file that is replaced', async () => {
    writeFileSync(join(root, 'run.sh'), '#!/bin/sh', { mode: 0o750 })
    expect(await call('write_file', { path: 'run.sh', content: 'x' })).toMatchObject({ output: { created: false } })
    expect(statSync(join(root, 'run.sh')).mode & 0o777).toBe(0o750)
  })

  it('read the lines asked for, and cut at the limit between lines and say so', async () => {
    writeFileSync(join(root, 'f'), [...Array(100_000).keys()].join('\n'))
    expect(await call('read_file', { path: 'f', fromLine: 5, lines: 2 })).toMatchObject({ output: { content: '4\n5' } })
    const answer = await call('read_file', { path: 'f' })
    expect(answer).toMatchObject({ ok: true, truncated: true, output: { totalLines: 100_000 } })
    if (!answer.ok) return
    const { content, lines } = answer.output as { content: string; lines: number }
    expect(Buffer.byteLength(content)).toBeLessThanOrEqual(limits.outputBytes)
    expect(content.endsWith(`\n${lines - 1}`)).toBe(true)
    writeFileSync(join(root, 'long'), 'ä'.repeat(200_000))
    expect(await call('read_file', { path: 'long' })).toMatchObject({ truncated: true, output: { lines: 1 } })
  })

  it('refuse binary files, files too large, folders and what is not there, each with its reason', async () => {
    writeFileSync(join(root, 'nul'), 'a\0b')
    writeFileSync(join(root, 'latin1'), Buffer.from([0xe4]))
    writeFileSync(join(root, 'big'), Buffer.alloc(5 * 1024 * 1024, 'x'))
    expect(await call('read_file', { path: 'nul' })).toEqual(refused('invalid_input', 'binary'))
    expect(await call('read_file', { path: 'latin1' })).toEqual(refused('invalid_input', 'not UTF-8'))
    expect(await call('read_file', { path: 'big' })).toEqual(refused('invalid_input', 'larger than'))
    expect(await call('read_file', { path: '.' })).toEqual(refused('invalid_input', 'a folder'))
    expect(await call('read_file', { path: 'gone' })).toEqual(refused('failed', 'not there'))
    expect(await call('read_file', { path: 'a\0b' })).toEqual(refused('invalid_input', 'NUL'))
    expect(await call('read_file', { path: 'a', colour: 1 })).toEqual(refused('invalid_input', 'colour'))
  })
})

describe('edit_file', () => {
  it('replaces a text that occurs once, with nothing in it special', async () => {
    writeFileSync(join(root, 'f'), 'a $1 b\nc')
    expect(await call('edit_file', { path: 'f', oldText: '$1 b\n', newText: '$& $$ ' })).toMatchObject({ ok: true })
    expect(readFileSync(join(root, 'f'), 'utf8')).toBe('a $& $$ c')
  })

  it('refuses one that does not occur, or more than once, overlapping too', async () => {
    writeFileSync(join(root, 'f'), 'aaa')
    expect(await call('edit_file', { path: 'f', oldText: 'b', newText: '' })).toEqual(
      refused('invalid_input', 'not occur'),
    )
    expect(await call('edit_file', { path: 'f', oldText: 'aa', newText: '' })).toEqual(
      refused('invalid_input', 'more than'),
    )
    expect(readFileSync(join(root, 'f'), 'utf8')).toBe('aaa')
  })
})

describe('list_files and search_files', () => {
  beforeEach(() => {
    mkdirSync(join(root, 'src', 'deep'), { recursive: true })
    writeFileSync(join(root, 'src', 'a.ts'), 'one\nNeedle here\n')
    writeFileSync(join(root, 'src', 'deep', 'b.md'), 'a needle\n')
    writeFileSync(join(root, 'bin'), 'needle\0')
    symlinkSync('..', join(root, 'src', 'loop'))
  })

  it('list one level or all, in order, links as links', async () => {
    expect(await call('list_files', {})).toEqual({
      ok: true,
      output: {
        entries: [
          { path: 'bin', kind: 'file' },
          { path: 'src', kind: 'folder' },
        ],
      },
    })
    const all = await call('list_files', { path: 'src', recursive: true })
    expect(all).toMatchObject({
      output: { entries: [{ path: 'src/a.ts' }, { path: 'src/deep' }, { path: 'src/deep/b.md' }, { kind: 'link' }] },
    })
    expect(await call('list_files', { recursive: true, glob: '*.md' })).toMatchObject({
      output: { entries: [{ path: 'src/deep/b.md' }] },
    })
  })

  it('find a text with its line, without following links or reading binary files', async () => {
    expect(await call('search_files', { text: 'needle' })).toEqual({
      ok: true,
      output: { matches: [{ path: 'src/deep/b.md', line: 1, text: 'a needle' }] },
    })
    expect(await call('search_files', { text: 'NEEDLE', ignoreCase: true, glob: 'src/*.ts' })).toEqual({
      ok: true,
      output: { matches: [{ path: 'src/a.ts', line: 2, text: 'Needle here' }] },
    })
    expect(await call('search_files', { text: '.*' })).toEqual({ ok: true, output: { matches: [] } })
  })

  it('stop at their limits and say so', async () => {
    for (let i = 0; i < 2_100; i++) writeFileSync(join(root, `f${i}`), 'hay\nhay\n')
    const listed = await call('list_files', {})
    expect(listed).toMatchObject({ truncated: true })
    expect(listed.ok && (listed.output as { entries: unknown[] }).entries).toHaveLength(2_000)
    const found = await call('search_files', { text: 'hay' })
    expect(found).toMatchObject({ truncated: true })
    expect(found.ok && (found.output as { matches: unknown[] }).matches).toHaveLength(500)
  })
})
