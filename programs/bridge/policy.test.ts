import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest'
import { storePolicy } from '#core/bus'
import { type ClawPolicy, clawPolicySpec, parseSpec } from '#core/kinds'
import { compilePolicy } from '#core/policy'
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
const open = {
  toolGating: { defaultAction: 'allow' },
  featureGates: { 'code-execution': true, 'file-access': true },
} as const

let asked = 0
/** Calls `list_files` and says how it was answered: ok, or the message of the refusal. */
async function call(): Promise<string> {
  const id = `call-${++asked}`
  rig.request(id, 'list_files', {})
  await vi.waitFor(() => expect(rig.answer(id)).toBeDefined(), patient)
  const answer = rig.answer(id)
  return answer?.ok ? 'ok' : `${answer?.error.code}: ${answer?.error.message}`
}

async function edit(name: string, spec: object | null, generation = 1): Promise<void> {
  const policy: ClawPolicy = {
    apiVersion: 'k8sclaw.io/v1alpha1',
    kind: 'ClawPolicy',
    metadata: { name, namespace: rig.run.namespace, generation },
    spec: parseSpec(clawPolicySpec, spec ?? {}),
  }
  await storePolicy(rig.controller, { namespace: rig.run.namespace, name }, spec && compilePolicy(policy))
}

it('a policy that is tightened binds the run under way, one that is loosened gives it nothing', async () => {
  rig = await startBridgeRig({ nats })
  await rig.start()
  expect(await call()).toBe('ok')
  await edit('test', open)
  expect(await call()).toBe('ok')
  const closed = { ...open, toolGating: { defaultAction: 'allow', rules: [{ tool: 'list_*', action: 'deny' }] } }
  await edit('test', closed, 2)
  await expect.poll(call, patient).toBe('denied: rule deny list_* of policy test, as it is now')
  await edit('test', open, 3)
  await expect.poll(call, patient).toBe('ok')
  await edit('test', null)
  await expect
    .poll(call, patient)
    .toBe('denied: feature gate file-access is off in the built-in restricted policy, as it is now')
  await rig.kill9()
  await rig.start()
  expect(await call()).toContain('as it is now')
}, 30_000)

it('what the run was started under stands, whatever the policy says now', async () => {
  const toolGating = { defaultAction: 'deny' as const, rules: [] }
  rig = await startBridgeRig({ nats, effective: { policy: { name: 'narrow.one', generation: 1 }, toolGating } })
  await edit('narrow.one', open, 2)
  await rig.start()
  expect(await call()).toBe('denied: default action of policy narrow.one')
})

it('while the bus is away the policy that was told last stands', async () => {
  rig = await startBridgeRig({ nats, effective: { policy: { name: 'kept', generation: 1 } } })
  await edit('kept', { ...open, featureGates: {} }, 2)
  await rig.start()
  rig.request('away', 'list_files', {})
  await nats.restart()
  await vi.waitFor(() => expect(rig.answer('away')).toBeDefined(), patient)
  expect(rig.answer('away')).toMatchObject({ ok: false, error: { code: 'denied' } })
})
