import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LogOptions } from '#localkube/api'
import { ContainerLog, readEnded } from './container-log.ts'

let folder: string
let path: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'localkube-log-'))
  path = join(folder, 'c/0.log')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function collect(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<string> {
  let text = ''
  for await (const chunk of chunks) text += Buffer.from(chunk).toString()
  return text
}
const read = (log: ContainerLog, options: LogOptions = {}) => collect(log.read(options, new AbortController().signal))

describe('the log of a container', () => {
  it('loses lines on a disk that is full, and nothing else', async () => {
    await mkdir(join(folder, 'c'))
    await symlink('/dev/full', path)
    const log = new ContainerLog(path)
    await rm(path)
    const following = collect(log.read({ follow: true }, new AbortController().signal))
    log.write('stdout', Buffer.from('one\ntwo\n'))
    log.end()
    expect(await following).toBe('one\ntwo\n')
  })

  it('comes back as it was written, in pieces or whole, with or without a last newline', async () => {
    const log = new ContainerLog(path)
    for (const piece of ['on', 'e\ntwo\nth', 'ree']) log.write('stdout', Buffer.from(piece))
    log.write('stderr', Buffer.from('warning\n'))
    expect(await read(log)).toBe('one\ntwo\nwarning\n')
    log.end()
    expect(await read(log)).toBe('one\ntwo\nwarning\nthree')
    expect(await collect(readEnded(path, {}))).toBe('one\ntwo\nwarning\nthree')
  })

  it('keeps bytes that are no text, and lines of any length', async () => {
    const log = new ContainerLog(path)
    const bytes = Buffer.concat([Buffer.from([0, 255, 10]), Buffer.alloc(100_000, 'x'), Buffer.from('\n')])
    log.write('stdout', bytes)
    log.end()
    const chunks = [...readEnded(path, {})]
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true)
  })

  it('is cut by tail, since, and limit, and shows times on request', async () => {
    const log = new ContainerLog(path)
    log.write('stdout', Buffer.from('one\ntwo\nthree\n'))
    log.end()
    expect(await collect(readEnded(path, { tailLines: 2 }))).toBe('two\nthree\n')
    expect(await collect(readEnded(path, { tailLines: 0 }))).toBe('')
    expect(await collect(readEnded(path, { limitBytes: 5 }))).toBe('one\nt')
    expect(await collect(readEnded(path, { sinceSeconds: 60 }))).toBe('one\ntwo\nthree\n')
    expect(await collect(readEnded(path, { sinceSeconds: -60 }))).toBe('')
    expect(await collect(readEnded(path, { timestamps: true, tailLines: 1 }))).toMatch(/^\d{4}-.*Z three\n$/)
  })

  it('is followed to its end, every line once', async () => {
    const log = new ContainerLog(path)
    log.write('stdout', Buffer.from('before\n'))
    const following = read(log, { follow: true })
    for (let i = 0; i < 100; i++) {
      log.write('stdout', Buffer.from(`${i}\n`))
      if (i % 10 === 0) await new Promise(setImmediate)
    }
    log.end()
    expect(await following).toBe(`before\n${Array.from({ length: 100 }, (_, i) => `${i}\n`).join('')}`)
  })

  it('stops being followed when its reader leaves', async () => {
    const log = new ContainerLog(path)
    const leaving = new AbortController()
    const following = collect(log.read({ follow: true }, leaving.signal))
    await new Promise(setImmediate)
    leaving.abort()
    expect(await following).toBe('')
    log.end()
  })

  it('takes a bounded part of the disk and keeps what is newest', async () => {
    const log = new ContainerLog(path)
    const block = Buffer.from(`${'x'.repeat(9999)}\n`.repeat(100))
    for (let i = 0; i < 25; i++) log.write('stdout', block)
    log.write('stdout', Buffer.from('last\n'))
    log.end()
    const sizes = await Promise.all((await readdir(join(folder, 'c'))).map((f) => stat(join(folder, 'c', f))))
    expect(sizes).toHaveLength(2)
    expect(sizes.reduce((sum, s) => sum + s.size, 0)).toBeLessThanOrEqual(20 * 1024 * 1024)
    expect((await readFile(path, 'utf8')).endsWith(' stdout F last\n')).toBe(true)
  })
})
