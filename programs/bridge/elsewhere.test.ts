import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { taskFile } from '#core/ipc'
import { type InMessage, sendIn } from '#core/journal'
import { type BridgeRig, type RigOptions, startBridgeRig } from '../../test/support/bridge.ts'
import { startNats, type TestNats } from '../../test/support/nats.ts'
import { Elsewhere } from './elsewhere.ts'

let nats: TestNats
let rig: BridgeRig
beforeAll(async () => {
  nats = await startNats()
})
afterAll(() => nats.close())
afterEach(async () => await rig?.close())

const patient = { timeout: 15_000 }
const remembering: Partial<RigOptions> = { sandbox: false, effective: { featureGates: { memory: true } } }
const begin = async (options: Partial<RigOptions> = remembering) => {
  rig = await startBridgeRig({ nats, ...options })
  await rig.start()
}
const offered = () =>
  taskFile.parse(JSON.parse(readFileSync(join(rig.ipcDir, 'input', 'task.json'), 'utf8'))).tools.map(({ name }) => name)
const answer = (callId: string, output: unknown, attempt?: number): InMessage => ({
  ...{ type: 'answer', callId, answer: { ok: true, output } },
  ...(attempt !== undefined && { attempt }),
})
const called = (count: number) =>
  vi.waitFor(async () => expect(await rig.entries('called')).toHaveLength(count), patient)
const answered = (id: string) => vi.waitFor(() => expect(rig.answer(id)).toBeDefined(), patient)

describe('a call that others perform', () => {
  it('is offered without a sandbox, recorded with its input, and answered by the inbox', async () => {
    await begin()
    expect(offered()).toEqual(['memory_store', 'memory_search', 'memory_forget'])
    rig.request('1', 'memory_store', { content: 'tea' })
    await called(1)
    expect(await rig.entries('called')).toMatchObject([
      { attempt: 1, call: { id: '1', tool: 'memory_store', input: { content: 'tea' } }, verdict: { action: 'allow' } },
    ])
    expect(rig.answer('1')).toBeUndefined()
    await sendIn(rig.controller, rig.run, answer('1', { id: 'm' }, 1))
    await answered('1')
    expect(rig.answer('1')).toEqual({ id: '1', ok: true, output: { id: 'm' } })
    expect(await rig.entries('answered')).toMatchObject([{ callId: '1', tool: 'memory_store', answer: { ok: true } }])
  })

  it('does not exist for a run whose gate is off, and is not performed by who names it', async () => {
    await begin({ sandbox: false, effective: { featureGates: {} } })
    expect(offered()).toEqual([])
    rig.request('1', 'memory_search', { query: 'tea' })
    await answered('1')
    expect(rig.answer('1')).toMatchObject({ ok: false, error: { code: 'denied' } })
    expect(await rig.entries('called')).toMatchObject([{ verdict: { action: 'deny' } }])
  })

  it('of a wrong form is answered without anybody', async () => {
    await begin()
    rig.request('1', 'memory_store', { content: ' ' })
    rig.request('2', 'memory_search', { query: 'x', limit: 1000 })
    await Promise.all([answered('1'), answered('2')])
    for (const id of ['1', '2']) expect(rig.answer(id)).toMatchObject({ ok: false, error: { code: 'invalid_input' } })
  })

  it('is awaited by the next bridge, whether the answer came before, in between or after', async () => {
    await begin()
    for (const id of ['before', 'between', 'after']) rig.request(id, 'memory_search', { query: id })
    await called(3)
    await sendIn(rig.controller, rig.run, answer('before', 'b', 1))
    await answered('before')
    await rig.kill9()
    await sendIn(rig.controller, rig.run, answer('between', 'i', 1))
    await rig.start()
    await answered('between')
    expect(rig.answer('after')).toBeUndefined()
    await sendIn(rig.controller, rig.run, answer('after', 'a', 1))
    await answered('after')
    expect(['before', 'between', 'after'].map((id) => rig.answer(id))).toMatchObject(
      ['b', 'i', 'a'].map((output) => ({ ok: true, output })),
    )
    expect(await rig.entries('called')).toHaveLength(3)
    expect(await rig.entries('answered')).toHaveLength(3)
  })

  it('ends with the run that waits for it', async () => {
    await begin()
    rig.request('1', 'memory_search', { query: 'x' })
    await called(1)
    rig.result('done')
    await vi.waitFor(async () => expect((await rig.record()).outcome).toBeDefined(), patient)
    await answered('1')
    expect(rig.answer('1')).toMatchObject({ ok: false, error: { code: 'run_ended' } })
  })
})

describe('waiting', () => {
  const { signal } = new AbortController()
  const message = (callId: string, attempt?: number) =>
    answer(callId, callId, attempt) as Parameters<Elsewhere['answered']>[0]

  it('takes no answer of another attempt, and none to what the bridge asks itself', async () => {
    const elsewhere = new Elsewhere([message('1', 1), message('1')], 2, 50)
    expect((await elsewhere.perform('1', signal)).answer).toMatchObject({ ok: false, error: { code: 'timeout' } })
    const waiting = new Elsewhere([], 2, 60_000)
    const performed = waiting.perform('1', signal)
    waiting.answered(message('1', 1))
    waiting.answered(message('2', 2))
    waiting.answered(message('1', 2))
    expect((await performed).answer).toEqual({ ok: true, output: '1' })
    expect((await waiting.perform('2', signal)).answer).toEqual({ ok: true, output: '2' })
  })
})
