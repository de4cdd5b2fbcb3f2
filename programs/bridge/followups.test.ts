import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { followupFile } from '#core/ipc'
import { sendIn } from '#core/journal'
import { type BridgeRig, startBridgeRig } from '../../test/support/bridge.ts'
import { startNats, type TestNats } from '../../test/support/nats.ts'

let nats: TestNats
let rig: BridgeRig
beforeAll(async () => {
  nats = await startNats()
})
afterAll(() => nats.close())
beforeEach(async () => {
  rig = await startBridgeRig({ nats, sandbox: false })
  await rig.start()
})
afterEach(() => rig.close())

const patient = { timeout: 30_000 }
const say = (number: number, text = `word ${number}`) =>
  sendIn(rig.controller, rig.run, { type: 'message', number, text, from: 'chat/U1' })
const path = (number: number) => join(rig.ipcDir, 'input', `followup-${number}.json`)
const lies = (number: number) => vi.waitFor(() => expect(existsSync(path(number))).toBe(true), patient)
const take = (number: unknown, id = `followup-${number}`) => {
  rig.request(id, 'take_followup', { number })
  return vi.waitFor(() => rig.answer(id) ?? Promise.reject(new Error('no answer yet')), patient)
}
const outcome = () =>
  vi.waitFor(async () => (await rig.record()).outcome ?? Promise.reject(new Error('none yet')), patient)

describe('what is said to a run while it goes on', () => {
  it('lies before the agent, is the answer to the call that takes it, and is counted in the outcome', async () => {
    await say(1)
    await say(2)
    await lies(2)
    const file = followupFile.parse(JSON.parse(readFileSync(path(1), 'utf8')))
    expect(file).toEqual({ type: 'message', text: 'word 1', from: 'chat/U1' })
    expect(await take(1)).toMatchObject({ ok: true, output: { number: 1, ...file } })
    rig.result('done')
    const { followups, usage } = await outcome()
    expect(followups).toBe(1)
    expect(usage.toolCalls).toBe(0)
    const { entries } = await rig.record()
    expect(entries).toMatchObject([
      { kind: 'called', call: { tool: 'take_followup', input: { number: 1 } }, verdict: { action: 'allow' } },
      { kind: 'answered', tool: 'take_followup', answer: { ok: true, output: { text: 'word 1' } } },
    ])
  })

  it('is taken once and in its order', async () => {
    await say(1)
    await say(2)
    await lies(2)
    expect(await take(2)).toMatchObject({
      error: { code: 'invalid_input', message: 'number: the next one to take is 1' },
    })
    expect(await take(1)).toMatchObject({ ok: true })
    expect(await take(1, 'again')).toMatchObject({ error: { message: 'number: the next one to take is 2' } })
    expect(await take(2, 'now')).toMatchObject({ ok: true, output: { text: 'word 2' } })
    expect(await take(3)).toMatchObject({ error: { message: 'number: there is nothing to take' } })
    expect(await take('1', 'text')).toMatchObject({ error: { code: 'invalid_input' } })
    rig.result('done')
    expect((await outcome()).followups).toBe(2)
  })

  it("is not the run's where the agent does not care, nor once the run is over", async () => {
    await say(1)
    await lies(1)
    rig.result('done')
    expect((await outcome()).followups).toBeUndefined()
    expect(await take(1)).toMatchObject({ error: { code: 'run_ended' } })
  })

  it('is neither lost nor taken twice by a bridge that is killed', async () => {
    await say(1)
    await lies(1)
    expect(await take(1)).toMatchObject({ ok: true })
    await rig.kill9()
    await say(2)
    await say(1, 'the same number is the same message')
    rig.request('while-away', 'take_followup', { number: 2 })
    await rig.start()
    await lies(2)
    // It may have been asked for before it was there.
    const early = await vi.waitFor(() => rig.answer('while-away') ?? Promise.reject(new Error('not yet')), patient)
    if (!early.ok) expect(await take(2, 'then')).toMatchObject({ ok: true, output: { text: 'word 2' } })
    rig.result('done')
    expect((await outcome()).followups).toBe(2)
    const taken = (await rig.entries('answered')).flatMap(({ answer }) => (answer.ok ? [answer.output] : []))
    expect(taken).toMatchObject([{ text: 'word 1' }, { text: 'word 2' }])
  })
})
