import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { type BridgeRig, startBridgeRig } from '../../test/support/bridge.ts'
import { startNats, type TestNats } from '../../test/support/nats.ts'

const allowed = 64 * 1024 * 1024
const input = { text: 'x'.repeat(500_000) }
const patient = { timeout: 60_000 }

let nats: TestNats
let rig: BridgeRig
beforeAll(async () => {
  nats = await startNats()
  rig = await startBridgeRig({ nats, sandbox: false })
  await rig.start()
})
afterAll(async () => {
  await rig?.close()
  await nats?.close()
})

const codeOf = (id: string) => {
  const answer = rig.answer(id)
  return answer?.ok === false ? answer.error.code : undefined
}

function codeOnceThere(id: string): Promise<string> {
  return vi.waitFor(() => codeOf(id) ?? Promise.reject(new Error(`no answer to ${id}`)), { ...patient, interval: 10 })
}

it('a run that fills its record is answered too_many, also by a bridge that was restarted, and can still end', async () => {
  let calls = 0
  for (let code = ''; code !== 'too_many'; calls++) {
    expect(calls).toBeLessThan(2 * Math.ceil(allowed / 500_000))
    rig.request(`c-${calls}`, 'no_such_tool', input)
    code = await codeOnceThere(`c-${calls}`)
  }
  expect(calls).toBeGreaterThan(allowed / 500_100 - 1)
  expect(JSON.stringify((await rig.record()).entries).length).toBeLessThan(allowed + 2_000_000)

  await rig.kill9()
  await rig.start()
  rig.request('after', 'no_such_tool', {})
  expect(await codeOnceThere('after')).toBe('too_many')
  rig.result('enough')
  await vi.waitFor(async () => expect((await rig.record()).outcome).toMatchObject({ phase: 'Succeeded' }), patient)
}, 180_000)
