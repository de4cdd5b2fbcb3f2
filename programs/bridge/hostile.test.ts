import type { ChildProcess } from 'node:child_process'
import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type BridgeRig, startBridgeRig } from '../../test/support/bridge.ts'
import { startNats, type TestNats } from '../../test/support/nats.ts'

/** One bridge for all of it: after each trick it must still be there for the next. */
let nats: TestNats
let rig: BridgeRig
let bridge: ChildProcess
beforeAll(async () => {
  nats = await startNats()
  rig = await startBridgeRig({ nats })
  bridge = await rig.start()
})
afterAll(async () => {
  await rig.close()
  await nats.close()
})

const patient = { timeout: 20_000 }
const inTools = (name: string) => join(rig.ipcDir, 'tools', name)
const answerOf = async (id: string) => {
  await vi.waitFor(() => expect(rig.answer(id)).toBeDefined(), patient)
  return rig.answer(id)
}
const refused = (id: string, code: string, message: RegExp) => ({
  id,
  ok: false,
  error: { code, message: expect.stringMatching(message) },
})
const noted = (message: string) =>
  vi.waitFor(async () => {
    const notes = await rig.entries('noted')
    expect(notes.map((note) => note.message)).toContainEqual(expect.stringContaining(message))
  }, patient)
/** What proves that the bridge is alive and well. */
async function stillServes() {
  const id = `alive-${crypto.randomUUID()}`
  rig.request(id, 'exec', { command: 'echo', args: ['alive'] })
  expect(await answerOf(id)).toMatchObject({ ok: true, output: { stdout: 'alive\n' } })
}

describe('a file in tools/ that is not a request is answered or noted, and removed', () => {
  it('a symbolic link', async () => {
    writeFileSync(join(rig.workspace, 'secret'), '{"id":"link","tool":"exec","input":{"command":"true"}}')
    symlinkSync(join(rig.workspace, 'secret'), inTools('link.json'))
    expect(await answerOf('link')).toEqual(refused('link', 'invalid_input', /symbolic link/))
    expect(existsSync(join(rig.workspace, 'secret'))).toBe(true)
  })

  it('a hard link', async () => {
    writeFileSync(join(rig.ipcDir, 'other'), '{"id":"hard","tool":"exec","input":{"command":"true"}}')
    linkSync(join(rig.ipcDir, 'other'), inTools('hard.json'))
    expect(await answerOf('hard')).toEqual(refused('hard', 'invalid_input', /more than one name/))
    expect(existsSync(join(rig.ipcDir, 'other'))).toBe(true)
  })

  it('FIFOs, ten at once', async () => {
    for (let i = 0; i < 10; i++) execFileSync('mkfifo', [inTools(`fifo-${i}.json`)])
    for (let i = 0; i < 10; i++)
      expect(await answerOf(`fifo-${i}`)).toEqual(refused(`fifo-${i}`, 'invalid_input', /not a regular file/))
    await stillServes()
  })

  it('a socket', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(inTools('socket.json'), resolve))
    expect(await answerOf('socket')).toEqual(refused('socket', 'invalid_input', /not a regular file/))
    await new Promise((resolve) => server.close(resolve))
  })

  it('a folder, empty or not', async () => {
    mkdirSync(inTools('.full'))
    writeFileSync(join(inTools('.full'), 'x'), '')
    renameSync(inTools('.full'), inTools('full.json'))
    mkdirSync(inTools('empty.json'))
    expect(await answerOf('full')).toEqual(refused('full', 'invalid_input', /not a regular file/))
    expect(await answerOf('empty')).toEqual(refused('empty', 'invalid_input', /not a regular file/))
    rmSync(inTools('full.json'), { recursive: true, force: true })
  })

  it('a file larger than the limit, which is not read', async () => {
    const input = { script: 'x'.repeat(600_000) }
    rig.request('large', 'exec', input)
    expect(await answerOf('large')).toEqual(refused('large', 'invalid_input', /larger than the limit/))
    execFileSync('truncate', ['-s', '1T', inTools('sparse.json')])
    expect(await answerOf('sparse')).toEqual(refused('sparse', 'invalid_input', /larger than the limit/))
  })

  it.each([
    ['bom', '\ufeff{"id":"bom","tool":"exec","input":{}}', /byte order mark/],
    ['keys', '{"id":"keys","tool":"exec","tool":"read_file","input":{}}', /repeated/],
    ['deep', `{"id":"deep","tool":"exec","input":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, /nested deeper/],
    ['cut', '{"id":"cut","tool":"exec"', /not valid JSON/],
    ['nothing', '', /not valid JSON/],
    ['list', '[]', /expected object/],
    ['other', '{"id":"another","tool":"exec","input":{}}', /file name/],
    ['noname', '{"id":"noname","tool":7,"input":{}}', /tool/],
    ['model-1', '{"id":"model-1","tool":"exec","input":{}}', /model requests/],
    ['asmodel', '{"id":"asmodel","tool":"model","input":{}}', /model requests/],
  ])('content that is no request: %s', async (id, content, message) => {
    rig.put(`tools/${id}.json`, content)
    expect(await answerOf(id)).toEqual(refused(id, 'invalid_input', message))
  })

  it('bytes that are not UTF-8', async () => {
    rig.put('tools/latin.json', Buffer.from('{"id":"latin","tool":"\xe4"}', 'latin1'))
    expect(await answerOf('latin')).toEqual(refused('latin', 'invalid_input', /UTF-8/))
  })

  it.each(['no-extension', 'a b.json', `${'x'.repeat(65)}.json`, 'ä.json', '1.json~', '$(id).json'])(
    'a name that is no id: %s',
    async (name) => {
      writeFileSync(inTools(name), '{}')
      await noted(`tools/${name}: not the name of a request`)
      expect(existsSync(inTools(name))).toBe(false)
    },
  )

  it.skipIf(process.getuid?.() !== 0)('a file that the bridge may not read, where the bridge is not root', async () => {
    const own = await startBridgeRig({ nats, bridgeUid: 10002 })
    try {
      await own.start()
      // Put in place at once: the bridge does not wait for its mode.
      const made = join(own.ipcDir, 'closed.json')
      writeFileSync(made, '{"id":"closed","tool":"exec","input":{}}')
      chmodSync(made, 0o600)
      chownSync(made, 10001, 10000)
      renameSync(made, join(own.ipcDir, 'tools', 'closed.json'))
      await vi.waitFor(
        () => expect(own.answer('closed')).toEqual(refused('closed', 'invalid_input', /readable by the group/)),
        patient,
      )
    } finally {
      await own.close()
    }
  })

  it('but the temporary names of a writer are left alone, and half a file written in place is waited for', async () => {
    writeFileSync(inTools('.half'), '{"id":')
    writeFileSync(inTools('x.tmp'), '{"id":')
    await stillServes()
    // Each piece wakes the bridge, which finds no JSON yet.
    const request = '{"id":"slow","tool":"exec","input":{"command":"true"}}'
    for (const piece of request.match(/.{1,6}/g) ?? []) {
      appendFileSync(inTools('slow.json'), piece)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    expect(await answerOf('slow')).toMatchObject({ ok: true })
    expect([existsSync(inTools('.half')), existsSync(inTools('x.tmp'))]).toEqual([true, true])
  })
})

describe('a repeated id', () => {
  it('with the same content has the same answer and is not performed again', async () => {
    const input = { script: 'echo x >> once' }
    rig.request('twice', 'exec', input)
    const first = await answerOf('twice')
    rig.request('twice', 'exec', input)
    await vi.waitFor(() => expect(existsSync(inTools('twice.json'))).toBe(false), patient)
    await stillServes()
    expect(rig.answer('twice')).toEqual(first)
    expect(readFileSync(join(rig.workspace, 'once'), 'utf8')).toBe('x\n')
  })

  it('with other content is noted and not performed; the first answer stays', async () => {
    rig.request('same', 'exec', { script: 'echo one' })
    const first = await answerOf('same')
    rig.request('same', 'exec', { script: 'touch never' })
    await noted('tools/same.json: the id was used before with other content')
    expect(rig.answer('same')).toEqual(first)
    expect(existsSync(join(rig.workspace, 'never'))).toBe(false)
  })
})

describe('where the agent replaces what the bridge writes or reads', () => {
  it('a link planted at the name of an answer is replaced, its target untouched', async () => {
    writeFileSync(join(rig.workspace, 'target'), 'untouched')
    symlinkSync(join(rig.workspace, 'target'), join(rig.ipcDir, 'input', 'results', 'planted.json'))
    rig.request('planted', 'exec', { command: 'true' })
    await vi.waitFor(() => expect(rig.answer('planted')).toMatchObject({ id: 'planted' }), patient)
    expect(readFileSync(join(rig.workspace, 'target'), 'utf8')).toBe('untouched')
  })

  it('a folder put in place of tools/ is not looked at; the one it took away still is', async () => {
    renameSync(join(rig.ipcDir, 'tools'), join(rig.ipcDir, 'moved'))
    symlinkSync('/etc', join(rig.ipcDir, 'tools'))
    const before = readdirSync('/etc').length
    writeFileSync(join(rig.ipcDir, 'moved', '.t'), '{"id":"moved","tool":"exec","input":{"command":"true"}}')
    renameSync(join(rig.ipcDir, 'moved', '.t'), join(rig.ipcDir, 'moved', 'moved.json'))
    expect(await answerOf('moved')).toMatchObject({ ok: true })
    expect(readdirSync('/etc')).toHaveLength(before)
    rmSync(join(rig.ipcDir, 'tools'))
    renameSync(join(rig.ipcDir, 'moved'), join(rig.ipcDir, 'tools'))
    await stillServes()
  })
})

describe('events.jsonl and result.json', () => {
  it('that are no plain files or hold no events are noted', async () => {
    const output = join(rig.ipcDir, 'output')
    writeFileSync(join(output, 'events.jsonl'), `{"type":"shout","text":"x"}\nno json\n${'x'.repeat(70_000)}\n`)
    await noted('events.jsonl: type')
    await noted('events.jsonl: not valid JSON')
    await noted('events.jsonl: longer than')
    symlinkSync('/etc/passwd', join(output, 'result.json'))
    await noted('output/result.json: a symbolic link')
    rmSync(join(output, 'result.json'))
    rig.put('output/result.json', '{"status":"success"}')
    await noted('output/result.json: response')
    rmSync(join(output, 'result.json'))
    execFileSync('mkfifo', [join(output, 'result.json')])
    await noted('output/result.json: not a regular file')
    rmSync(join(output, 'result.json'))
    await stillServes()
    expect((await rig.record()).outcome).toBeUndefined()
  })
})

describe('too much', () => {
  it('of calls at once: 64 are performed, the next is answered too_many', async () => {
    for (let i = 0; i < 64; i++) rig.request(`busy-${i}`, 'exec', { script: 'while [ ! -e go ]; do sleep 0.1; done' })
    await vi.waitFor(
      () => expect(readdirSync(join(rig.ipcDir, 'tools')).filter((n) => n.startsWith('busy'))).toEqual([]),
      patient,
    )
    rig.request('one-more', 'exec', { command: 'true' })
    expect(await answerOf('one-more')).toEqual(refused('one-more', 'too_many', /64/))
    writeFileSync(join(rig.workspace, 'go'), '')
    for (let i = 0; i < 64; i++) expect(await answerOf(`busy-${i}`)).toMatchObject({ ok: true })
    // It was not performed, so its id is free.
    rig.request('one-more', 'exec', { command: 'true' })
    await vi.waitFor(() => expect(rig.answer('one-more')).toMatchObject({ ok: true }), patient)
  })

  it('of files: ten thousand neither stop the bridge nor fill its memory, and 200 answers are kept', async () => {
    for (let i = 0; i < 10_000; i++)
      rig.request(`flood-${i}`, i % 2 ? 'no_such_tool' : 'exec', { script: 'sleep 0.05' })
    await vi.waitFor(
      () => expect(readdirSync(join(rig.ipcDir, 'tools')).filter((n) => n.startsWith('flood'))).toEqual([]),
      {
        timeout: 60_000,
        interval: 200,
      },
    )
    await stillServes()
    const answers = readdirSync(join(rig.ipcDir, 'input', 'results')).filter((name) => name.endsWith('.json'))
    expect(answers.length).toBeLessThanOrEqual(200)
    const [, peak] = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${bridge.pid}/status`, 'utf8')) ?? []
    expect(Number(peak)).toBeLessThan(250_000)
  }, 90_000)

  it('of bad names: the warnings have an end', async () => {
    for (let i = 0; i < 300; i++) writeFileSync(inTools(`bad ${i}`), '')
    await vi.waitFor(
      () => expect(readdirSync(join(rig.ipcDir, 'tools')).filter((n) => n.startsWith('bad'))).toEqual([]),
      patient,
    )
    await stillServes()
    const notes = await rig.entries('noted')
    expect(notes).toHaveLength(100)
    expect(notes.at(-1)?.message).toContain('further warnings are left out')
  })
})
