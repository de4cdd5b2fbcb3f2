import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { taskFile } from '#core/ipc'
import { historyCall, type InMessage, sendIn } from '#core/journal'
import { type BridgeRig, startBridgeRig } from '../../test/support/bridge.ts'
import { startNats, type TestNats } from '../../test/support/nats.ts'

let nats: TestNats
let rig: BridgeRig
beforeAll(async () => {
  nats = await startNats()
})
afterAll(() => nats.close())
afterEach(() => rig.close())

const patient = { timeout: 15_000 }
const history = [
  { role: 'user' as const, content: 'what is it?' },
  { role: 'assistant' as const, content: 'a test' },
]
const answer = (output: unknown): InMessage => ({
  type: 'answer',
  callId: historyCall.id,
  answer: { ok: true, output },
})
const task = () => taskFile.parse(JSON.parse(readFileSync(join(rig.ipcDir, 'input', 'task.json'), 'utf8')))
const asked = () => vi.waitFor(async () => expect(await rig.entries('called')).toHaveLength(1), patient)

describe('a run of a conversation', () => {
  it('asks once what was said before, and its agent begins with the answer', async () => {
    rig = await startBridgeRig({ nats, sessionKey: 'chat' })
    const started = rig.start()
    await asked()
    await sendIn(rig.controller, rig.run, answer({ history, historyCut: true }))
    await started
    expect(task()).toMatchObject({ sessionKey: 'chat', history, historyCut: true })
    expect(await rig.entries('called')).toMatchObject([{ call: { tool: 'history' }, verdict: { action: 'allow' } }])
    expect(await rig.entries('answered')).toMatchObject([
      { callId: historyCall.id, answer: { ok: true, output: { messages: 2, historyCut: true } } },
    ])
    await rig.kill9()
    await rig.start()
    expect(await rig.entries('called')).toHaveLength(1)
    rig.result('done')
    await vi.waitFor(async () => expect((await rig.record()).outcome).toBeDefined(), patient)
    expect((await rig.record()).outcome?.usage).toMatchObject({ toolCalls: 0, modelCalls: 0 })
  })

  it('begins without it when nobody answers, and records that', async () => {
    rig = await startBridgeRig({ nats, sessionKey: 'chat' })
    await rig.start()
    expect(task().history).toEqual([])
    expect(await rig.entries('answered')).toMatchObject([{ answer: { ok: false, error: { code: 'timeout' } } }])
    expect(await rig.entries('noted')).toMatchObject([{ code: 'history_unavailable' }])
    await sendIn(rig.controller, rig.run, answer({ history }))
    await sendIn(rig.controller, rig.run, { type: 'cancel', reason: 'enough', graceSeconds: 0 })
    await vi.waitFor(async () => expect((await rig.record()).outcome?.phase).toBe('Cancelled'), patient)
    expect(task().history).toEqual([])
  })

  it('is asked for by the next bridge when the first is killed over it', async () => {
    rig = await startBridgeRig({ nats, sessionKey: 'chat' })
    const first = rig.start().catch(() => 'killed')
    await asked()
    await rig.kill9()
    await sendIn(rig.controller, rig.run, answer({ history }))
    await rig.start()
    expect(await first).toBe('killed')
    expect(task().history).toEqual(history)
    expect(await rig.entries('called')).toHaveLength(1)
    expect(await rig.entries('answered')).toHaveLength(1)
  })

  it('takes what is no conversation for no answer', async () => {
    rig = await startBridgeRig({ nats, sessionKey: 'chat' })
    const started = rig.start()
    await asked()
    await sendIn(rig.controller, rig.run, answer({ history: 'all of it' }))
    await started
    expect(task().history).toEqual([])
    expect(await rig.entries('noted')).toMatchObject([{ code: 'history_unavailable' }])
  })
})

it('a run of no conversation asks nothing', async () => {
  rig = await startBridgeRig({ nats })
  await rig.start()
  expect(await rig.entries('called')).toEqual([])
  expect(task().history).toEqual([])
})
