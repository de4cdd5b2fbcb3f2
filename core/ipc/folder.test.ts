import { execFileSync, spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  watch,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Folder } from './folder.ts'

const limit = 1024
let home: string
let path: string
let folder: Folder

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'k8sclaw-ipc-'))
  path = join(home, 'tools')
  folder = Folder.make(path, 0o2770)
})
afterEach(() => {
  folder.close()
  rmSync(home, { recursive: true, force: true })
})

describe('reading a file that someone hostile put there', () => {
  it('reads a plain file up to the limit, byte for byte', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: limit }), (content) => {
        writeFileSync(join(path, 'a.json'), content)
        expect(folder.read('a.json', limit)).toMatchObject({ bytes: Buffer.from(content) })
      }),
    )
  })

  it('refuses one byte more than the limit', () => {
    writeFileSync(join(path, 'a.json'), 'x'.repeat(limit + 1))
    expect(folder.read('a.json', limit)).toBe('too_large')
  })

  it('refuses a sparse file of a terabyte without reading it', () => {
    execFileSync('truncate', ['-s', '1T', join(path, 'a.json')])
    expect(folder.read('a.json', limit)).toBe('too_large')
  })

  it('refuses a symbolic link, also to a file beside it, and a dangling one', () => {
    writeFileSync(join(path, 'real.json'), '{}')
    symlinkSync('real.json', join(path, 'a.json'))
    symlinkSync('/nowhere', join(path, 'b.json'))
    expect(folder.read('a.json', limit)).toBe('link')
    expect(folder.read('b.json', limit)).toBe('link')
  })

  it('refuses a hard link, under either of its names', () => {
    writeFileSync(join(home, 'secret'), 'secret')
    linkSync(join(home, 'secret'), join(path, 'a.json'))
    expect(folder.read('a.json', limit)).toBe('hard_link')
  })

  it('refuses a FIFO at once, a hundred of them too', () => {
    for (let i = 0; i < 100; i++) execFileSync('mkfifo', [join(path, `${i}.json`)])
    for (let i = 0; i < 100; i++) expect(folder.read(`${i}.json`, limit)).toBe('not_a_file')
  })

  it('refuses a socket and a folder', async () => {
    const server = createServer().listen(join(path, 'a.json'))
    await new Promise((resolve) => server.once('listening', resolve))
    mkdirSync(join(path, 'b.json'))
    expect(folder.read('a.json', limit)).toBe('not_a_file')
    expect(folder.read('b.json', limit)).toBe('not_a_file')
    await new Promise((resolve) => server.close(resolve))
  })

  it.skipIf(process.getuid?.() !== 0)('refuses a 0600 file of another user where it is not root itself', () => {
    writeFileSync(join(path, 'a.json'), '{}')
    chownSync(join(path, 'a.json'), 10001, 10000)
    chmodSync(join(path, 'a.json'), 0o600)
    chmodSync(home, 0o755)
    chmodSync(path, 0o2777)
    const script = `import { Folder } from ${JSON.stringify(join(import.meta.dirname, 'folder.ts'))}
      console.log(Folder.open(${JSON.stringify(path)}).read('a.json', 10))`
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], { uid: 10002, gid: 10000 })
    expect(String(child.stdout)).toBe('unreadable\n')
  })

  it('refuses names that are not one step down, and says of a missing one that it is absent', () => {
    for (const name of ['', '.', '..', 'a/b', '../tools/a', '/etc/passwd', 'a\0b', 'x'.repeat(256)])
      expect(folder.read(name, limit)).toBe('bad_name')
    expect(folder.read('a.json', limit)).toBe('absent')
  })

  it('goes on with its own folder when another is put in its place', () => {
    writeFileSync(join(path, 'a.json'), 'ours')
    renameSync(path, join(home, 'moved'))
    mkdirSync(join(home, 'evil'))
    writeFileSync(join(home, 'evil', 'a.json'), 'theirs')
    symlinkSync(join(home, 'evil'), path)
    expect(folder.read('a.json', limit)).toMatchObject({ bytes: Buffer.from('ours') })
    expect(() => Folder.open(path)).toThrow(/ELOOP|ENOTDIR/)
  })

  it('never throws for any name, whatever stands there', () => {
    mkdirSync(join(path, 'folder'))
    symlinkSync('.', join(path, 'link'))
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.constantFrom('folder', 'link', 'link/link', '\ud800')), (name) => {
        folder.read(name, limit)
      }),
    )
  })
})

describe('making a folder', () => {
  it('gives it the mode asked for whatever the umask, with the set-group-id bit', () => {
    expect(statSync(path).mode & 0o7777).toBe(0o2770)
  })

  it('opens what is there, and replaces a link that stands in its place', () => {
    Folder.make(path, 0o700).close()
    expect(statSync(path).mode & 0o7777).toBe(0o2770)
    rmSync(path, { recursive: true })
    symlinkSync('/etc', path)
    Folder.make(path, 0o2770).close()
    expect(readdirSync(path)).toEqual([])
  })
})

describe('writing', () => {
  it('replaces a link planted at the name and leaves its target alone', () => {
    writeFileSync(join(home, 'target'), 'untouched')
    symlinkSync(join(home, 'target'), join(path, '1.json'))
    folder.write('1.json', 'answer')
    expect(readFileSync(join(home, 'target'), 'utf8')).toBe('untouched')
    expect(readFileSync(join(path, '1.json'), 'utf8')).toBe('answer')
    expect(readdirSync(path)).toEqual(['1.json'])
  })

  it('uses a temporary name that nobody can have planted a link at: new each time, and created exclusively', async () => {
    const seen = new Set<string>()
    const watcher = watch(path, (_event, name) => {
      if (name?.endsWith('.tmp')) seen.add(name)
    })
    for (let i = 0; i < 20; i++) folder.write('1.json', 'x')
    await vi.waitFor(() => expect(seen.size).toBe(20))
    watcher.close()
  })

  it('is never seen half written by a reader', async () => {
    folder.write('1.json', 'x'.repeat(200_000))
    const reader = spawn('sh', ['-c', 'for i in $(seq 100); do wc -c < 1.json; done'], { cwd: path })
    let sizes = ''
    reader.stdout.on('data', (data) => {
      sizes += String(data)
    })
    let done = false
    reader.on('close', () => {
      done = true
    })
    while (!done) {
      folder.write('1.json', 'y'.repeat(200_000))
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(new Set(sizes.trim().split(/\s+/))).toEqual(new Set(['200000']))
  })

  it('fails without leaving anything when a folder stands at the name', () => {
    mkdirSync(join(path, '1.json'))
    expect(() => folder.write('1.json', 'answer')).toThrow(/EISDIR/)
    expect(readdirSync(path)).toEqual(['1.json'])
  })
})

describe('removing', () => {
  it('removes files, links, FIFOs and empty folders, and says when it could not', () => {
    writeFileSync(join(path, 'file'), '')
    symlinkSync('/etc', join(path, 'link'))
    execFileSync('mkfifo', [join(path, 'fifo')])
    mkdirSync(join(path, 'empty'))
    mkdirSync(join(path, 'full', 'x'), { recursive: true })
    expect(['file', 'link', 'fifo', 'empty', 'gone'].map((name) => folder.remove(name))).not.toContain(false)
    expect(folder.remove('full')).toBe(false)
    expect(folder.remove('../tools')).toBe(false)
    expect(readdirSync(path)).toEqual(['full'])
  })
})

describe('what is in a folder', () => {
  it('is listed with its kind, no more of it than asked for', () => {
    for (let i = 0; i < 500; i++) writeFileSync(join(path, `${i}`), '')
    expect(folder.entries(300)).toHaveLength(300)
    mkdirSync(join(path, 'folder'))
    symlinkSync('folder', join(path, 'link'))
    expect(folder.entries(1000)).toHaveLength(502)
    expect(folder.entries(1000)).toContainEqual({ name: 'link', kind: 'link' })
  })

  it('is reached one step at a time, never through a link', () => {
    mkdirSync(join(path, 'folder'))
    symlinkSync('folder', join(path, 'link'))
    writeFileSync(join(path, 'file'), '')
    expect(folder.openFolder('link')).toBe('not_a_folder')
    expect(folder.openFolder('file')).toBe('not_a_folder')
    expect(folder.openFolder('..')).toBe('bad_name')
    expect(folder.openFolder('gone')).toBe('absent')
    const made = folder.makeFolder('gone')
    if (typeof made === 'string') throw new Error(made)
    made.write('a', 'x')
    made.close()
    expect(readFileSync(join(path, 'gone', 'a'), 'utf8')).toBe('x')
    expect(folder.makeFolder('link')).toBe('not_a_folder')
  })
})
