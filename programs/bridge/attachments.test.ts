import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Bus } from '#core/bus'
import { getFile, putFile, putFileList, usualFileLimits } from '#core/files'
import type { TaskFile } from '#core/ipc'
import { createLogger } from '#core/telemetry'
import { type BridgeRig, type RigOptions, startBridgeRig } from '../../test/support/bridge.ts'
import { startNats, type TestNats } from '../../test/support/nats.ts'
import { takeAttachments } from './attachments.ts'
import { workspaceOf } from './sandbox-files.ts'

const patient = { timeout: 60_000, interval: 50 }
const from = { channel: 'chat' }
const chat = (brings: string[], files = usualFileLimits) => ({ channel: 'chat', files, brings })

let nats: TestNats
let rig: BridgeRig
let channel: Bus
beforeAll(async () => {
  nats = await startNats()
  channel = await nats.connect({ kind: 'channel', channel: { namespace: 'team', instance: 'bot', channel: 'chat' } })
})
afterEach(() => rig.close())
afterAll(() => nats.close())

async function prepare(options: Omit<RigOptions, 'nats'>): Promise<void> {
  rig = await startBridgeRig({ nats, ...options })
}
const read = () => JSON.parse(readFileSync(join(rig.ipcDir, 'input', 'task.json'), 'utf8')) as TaskFile
const inWorkspace = (path: string) => readFileSync(join(rig.workspace, path))
const store = async (name: string, bytes: Buffer) => ({
  name,
  type: 'text/plain',
  ...(await putFile(channel, rig.run, from, bytes)),
})

test('what came with the task lies in the workspace before the agent begins, under names that are safe', async () => {
  const names = ['report.pdf', '../../../etc/cron.d/x', 'a\0b\n.txt', `${'n'.repeat(250)}.txt`, 'report.pdf', '']
  await prepare({ chat: chat(names) })
  const bytes = names.map((_, at) => (at === 0 ? randomBytes(3_000_000) : Buffer.from(`file ${at}`)))
  const list = await Promise.all(names.map((name, at) => store(name || 'file', bytes[at] ?? Buffer.alloc(0))))
  await putFileList(
    channel,
    rig.run,
    from,
    list.map((file) => ({ ...file, name: file.name.slice(0, 100) })),
  )
  await rig.start()
  const { files, task } = read()
  expect(files).toEqual([
    'attachments/1-report.pdf',
    'attachments/2-x',
    'attachments/3-a_b_.txt',
    `attachments/4-${'n'.repeat(116)}.txt`,
    'attachments/5-report.pdf',
    'attachments/6-file',
  ])
  expect(task).toBe('do it')
  for (const [at, path] of files.entries()) expect(inWorkspace(path).equals(bytes[at] ?? Buffer.alloc(0))).toBe(true)
  expect(readdirSync(rig.workspace)).toEqual(['attachments'])
}, 120_000)

test('what is not what its hash says, was left out, or was not listed is not there, and the agent is told', async () => {
  await prepare({ chat: chat(['changed.txt', 'large.mp4', 'unsaid.txt', 'fine.txt']) })
  const changed = await store('changed.txt', Buffer.from('one thing'))
  const fine = await store('fine.txt', Buffer.from('fine'))
  await putFileList(channel, rig.run, from, [
    { ...changed, sha256: fine.sha256, size: fine.size + 1 },
    { name: 'large.mp4', leftOut: 'too_large' },
    { ...fine, size: 4, sha256: '0'.repeat(64) },
    fine,
  ])
  await rig.start()
  const { files, task } = read()
  expect(files).toEqual(['attachments/4-fine.txt'])
  expect(task.split('\n')).toEqual([
    'do it',
    '[attachments/1-changed.txt is not there: what arrived is not what was sent]',
    '[attachments/2-large.mp4 is not there: it is too large]',
    '[attachments/3-unsaid.txt is not there: what arrived is not what was sent]',
  ])
  await expect
    .poll(async () => (await rig.entries('noted')).map(({ code }) => code), patient)
    .toEqual(['file_left_out', 'file_left_out', 'file_left_out'])
}, 120_000)

test('a run without a sandbox, or whose channel says nothing, begins without the files', async () => {
  await prepare({ sandbox: false, chat: chat(['a.txt']) })
  await rig.start()
  expect(read().task).toMatch(/a\.txt is not there: there is no workspace/)
  const taken = await takeAttachments({
    ...{ bus: await nats.connect({ kind: 'bridge', run: rig.run }), address: rig.run, chat: chat(['a.txt']) },
    ...{ workspace: workspaceOf(join(rig.workspace, 'no.sock')), signal: new AbortController().signal },
    ...{ log: createLogger('test'), patienceMs: 300 },
  })
  expect(taken).toEqual({ paths: [], leftOut: ['attachments/1-a.txt is not there: it took too long'] })
}, 120_000)

test('a bus that goes away between two files is waited for', async () => {
  await prepare({ chat: chat(['a.txt', 'b.txt']) })
  const list = [await store('a.txt', Buffer.from('one')), await store('b.txt', Buffer.from('two'))]
  await putFileList(channel, rig.run, from, list)
  const put = new Map<string, string>()
  let back: Promise<void> | undefined
  const taken = await takeAttachments({
    ...{ bus: await nats.connect({ kind: 'bridge', run: rig.run }), address: rig.run, chat: chat(['a.txt', 'b.txt']) },
    workspace: {
      put: async (path, bytes) => {
        put.set(path, bytes.toString())
        if (back) return
        await nats.kill9()
        back = new Promise((resolve) => setTimeout(resolve, 2_000)).then(() => nats.restart())
      },
      take: () => Promise.reject(new Error('nothing is taken')),
    },
    ...{ signal: new AbortController().signal, log: createLogger('test') },
  })
  await back
  expect(taken).toEqual({ paths: ['attachments/1-a.txt', 'attachments/2-b.txt'], leftOut: [] })
  expect([...put.values()]).toEqual(['one', 'two'])
}, 120_000)

test('what the agent hands over is in the outcome, whole, and once', async () => {
  await prepare({ chat: chat([]) })
  await rig.start()
  mkdirSync(join(rig.workspace, 'out'))
  const pdf = Buffer.concat([Buffer.from('%PDF-1.7\n'), randomBytes(2_000_000)])
  writeFileSync(join(rig.workspace, 'out', 'report.pdf'), pdf)
  rig.request('one', 'send_file', { path: 'out/report.pdf', name: '../final report.pdf' })
  await expect
    .poll(() => rig.answer('one'), patient)
    .toMatchObject({
      ok: true,
      output: { name: 'final_report.pdf', type: 'application/pdf', size: pdf.length },
    })
  rig.request('two', 'send_file', { path: 'out/report.pdf', name: 'final report.pdf' })
  await expect.poll(() => rig.answer('two'), patient).toMatchObject({ ok: true })
  rig.result('done')
  await expect.poll(async () => (await rig.record()).outcome?.files?.length, patient).toBe(1)
  const [file] = (await rig.record()).outcome?.files ?? []
  if (!file) throw new Error('no file')
  expect((await getFile(channel, rig.run, 'agent', file))?.equals(pdf)).toBe(true)
}, 120_000)

test('no more is handed over than there is room for, in whole chunks, also by calls that go on at once', async () => {
  await prepare({ chat: { ...chat([]), room: 2 * 512 * 1024 } })
  await rig.start()
  const ids = ['one', 'two', 'three', 'four']
  for (const id of ids) writeFileSync(join(rig.workspace, `${id}.txt`), id)
  for (const id of ids) rig.request(id, 'send_file', { path: `${id}.txt` })
  for (const id of ids) await expect.poll(() => rig.answer(id)?.ok, patient).toBeDefined()
  const refused = ids.map((id) => rig.answer(id)).filter((answer) => answer?.ok === false)
  expect(refused.map((answer) => JSON.stringify(answer))).toEqual([
    expect.stringContaining('no room for files'),
    expect.stringContaining('no room for files'),
  ])
  rig.result('done')
  await expect.poll(async () => (await rig.record()).outcome?.files?.length, patient).toBe(2)
}, 120_000)

test('what is outside the workspace, no plain file, too large or of another kind is not handed over', async () => {
  await prepare({ chat: chat([], { ...usualFileLimits, maxBytes: 1_000 }) })
  await rig.start()
  const at = (name: string) => join(rig.workspace, name)
  symlinkSync('/etc/passwd', at('link.txt'))
  symlinkSync('/etc', at('folder'))
  execFileSync('mkfifo', [at('pipe.txt')])
  writeFileSync(at('large.txt'), 'x'.repeat(1_001))
  writeFileSync(at('program'), Buffer.from('7f454c4602', 'hex'))
  writeFileSync(at('fine.txt'), 'fine')
  linkSync(at('fine.txt'), at('twin.txt'))
  const refused = [
    'link.txt',
    'folder/passwd',
    'pipe.txt',
    '/etc/passwd',
    '../task.json',
    'large.txt',
    'program',
    'none',
  ]
  for (const [n, path] of refused.entries()) rig.request(`bad-${n}`, 'send_file', { path })
  for (const n of refused.keys()) await expect.poll(() => rig.answer(`bad-${n}`)?.ok, patient).toBe(false)
  rig.request('eleven', 'send_file', { path: 'twin.txt' })
  await expect.poll(() => rig.answer('eleven')?.ok, patient).toBe(true)
  rig.result('done')
  await expect
    .poll(async () => (await rig.record()).outcome?.files?.map(({ name }) => name), patient)
    .toEqual(['twin.txt'])
}, 120_000)

test('a run that answers no chat has no tool to hand over with, and one that may not is denied', async () => {
  await prepare({})
  await rig.start()
  expect(read().tools.map(({ name }) => name)).not.toContain('send_file')
  rig.request('one', 'send_file', { path: 'a.txt' })
  await expect.poll(() => rig.answer('one'), patient).toMatchObject({ ok: false, error: { code: 'unknown_tool' } })
  await rig.close()
  await prepare({ chat: chat([]), effective: { featureGates: { 'code-execution': true } } })
  await rig.start()
  rig.request('two', 'send_file', { path: 'a.txt' })
  await expect.poll(() => rig.answer('two'), patient).toMatchObject({ ok: false, error: { code: 'denied' } })
}, 120_000)
