import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { policyOfSubject, policySubjects } from '#core/identity'
import { startNats, type TestNats } from '../../test/support/nats.ts'
import {
  type Bus,
  ensureStreams,
  forgetPolicy,
  storedPolicies,
  storePolicy,
  watchPolicies,
  watchPolicy,
} from './index.ts'

const run = { namespace: 'red', instance: 'bot', uid: 'uid-a' }
const at = { namespace: 'red', name: 'team.default' }
const wait = { timeout: 10_000, interval: 10 }

let nats: TestNats
let controller: Bus
let gateway: Bus

beforeAll(async () => {
  nats = await startNats()
  controller = await nats.connect({ kind: 'controller' })
  await ensureStreams(controller)
  gateway = await nats.connect({ kind: 'gateway' })
})
afterAll(() => nats.close())

test('a name with dots is one key, which no other name has', () => {
  expect(policySubjects(at).stored).toBe('$KV.policies.red.team_default')
  expect(policyOfSubject(policySubjects(at).stored)).toEqual(at)
  expect(() => policySubjects({ namespace: 'red', name: 'a.>' })).toThrow(RangeError)
  expect(() => policySubjects({ namespace: 'red.blue', name: 'a' })).toThrow(RangeError)
})

describe('a bridge', () => {
  test('is told what is stored, each change, and the deletion, of its own policy', async () => {
    const bridge = await nats.connect({ kind: 'bridge', run, policy: at.name })
    const told: unknown[] = []
    const stop = new AbortController()
    await watchPolicy(bridge, at, stop.signal, (value) => told.push(value))
    expect(told).toEqual([undefined])
    expect(await storePolicy(controller, at, { generation: 1 })).toBe(true)
    await expect.poll(() => told.at(-1), wait).toEqual({ generation: 1 })
    expect(await storePolicy(controller, at, { generation: 1 })).toBe(false)
    // Large enough to be compressed.
    await storePolicy(controller, at, { generation: 2, text: 'x'.repeat(50_000) })
    await expect.poll(() => told.at(-1), wait).toMatchObject({ generation: 2 })
    await storePolicy(controller, { ...at, name: 'another' }, { generation: 9 })
    await storePolicy(controller, at, null)
    await expect.poll(() => told.at(-1), wait).toBeNull()
    expect(told).toHaveLength(4)
    stop.abort()
  })

  test('that begins later reads what was stored before, the deletion too', async () => {
    const other = { ...at, name: 'other' }
    await storePolicy(controller, other, { generation: 3 })
    const first = async () => {
      const { promise, resolve } = Promise.withResolvers<unknown>()
      const bridge = await nats.connect({ kind: 'bridge', run, policy: 'other' })
      await watchPolicy(bridge, other, AbortSignal.timeout(10_000), resolve)
      return await promise
    }
    expect(await first()).toEqual({ generation: 3 })
    await storePolicy(controller, other, null)
    expect(await first()).toBeNull()
  })

  test('keeps what it was told while the bus is away, and hears what changed once it is back', async () => {
    const own = { ...at, name: 'own' }
    await storePolicy(controller, own, { generation: 1 })
    const bridge = await nats.connect({ kind: 'bridge', run, policy: 'own' })
    const told: unknown[] = []
    await watchPolicy(bridge, own, bridge.signal, (value) => told.push(value))
    await nats.restart()
    await expect.poll(() => storePolicy(controller, own, { generation: 2 }).catch(() => false), wait).toBe(true)
    await expect.poll(() => told, wait).toEqual([{ generation: 1 }, { generation: 2 }])
  })

  test('may neither read, hear nor write any other policy', async () => {
    const bridge = await nats.connect({ kind: 'bridge', run, policy: at.name })
    const foreign = [
      { namespace: 'blue', name: at.name },
      { namespace: 'red', name: 'team' },
      { namespace: 'red', name: 'default' },
    ].map(policySubjects)
    const own = policySubjects(at)
    const refusedToPublish = [
      ...foreign.flatMap(({ get, stored, changed }) => [get, stored, changed]),
      own.stored,
      own.changed,
      'k8sclaw.policy.red.*',
      `$JS.API.DIRECT.GET.KV_policies.${own.stored}`,
      '$JS.API.DIRECT.GET.KV_policies',
      '$JS.API.STREAM.MSG.GET.KV_policies',
      '$JS.API.STREAM.INFO.KV_policies',
      '$JS.API.CONSUMER.CREATE.KV_policies',
    ]
    for (const subject of refusedToPublish) {
      const refused = await bridge.nats.request(subject, '', { timeout: 2_000 }).then(
        () => false,
        (error: Error) => /permissions violation for publish/i.test(String(error) + String(error.cause)),
      )
      expect([subject, refused]).toEqual([subject, true])
    }
    const refusedToSubscribe = [
      ...foreign.flatMap(({ stored, changed }) => [stored, changed]),
      own.stored,
      'k8sclaw.policies.>',
      'k8sclaw.policies.red.*',
      '$KV.>',
    ]
    for (const subject of refusedToSubscribe) {
      const subscription = bridge.nats.subscribe(subject)
      await bridge.nats.flush()
      expect([subject, subscription.isClosed()]).toEqual([subject, true])
    }
  })

  test('without a policy has no subject for any', async () => {
    const bridge = await nats.connect({ kind: 'bridge', run })
    await expect(watchPolicy(bridge, at, AbortSignal.timeout(5_000), () => {})).rejects.toMatchObject({
      code: 'forbidden',
    })
  })
})

test('the gateway is told of every policy, also after the bus was away, and writes none', async () => {
  const stop = new AbortController()
  const known = new Map<string, unknown>()
  let synced = 0
  const watching = watchPolicies(gateway, stop.signal, {
    onChange: (policy, value) => known.set(`${policy.namespace}/${policy.name}`, value),
    onSynced: () => synced++,
  })
  await storePolicy(controller, { namespace: 'blue', name: 'x' }, { generation: 1 })
  await expect.poll(() => [synced > 0, known.get('blue/x')], wait).toEqual([true, { generation: 1 }])
  await nats.restart()
  await expect
    .poll(() => storePolicy(controller, { namespace: 'blue', name: 'x' }, null).catch(() => false), wait)
    .toBe(true)
  await expect.poll(() => known.get('blue/x'), wait).toBeNull()
  await expect(storePolicy(gateway, { namespace: 'blue', name: 'x' }, { generation: 2 })).rejects.toMatchObject({
    code: 'forbidden',
  })
  stop.abort()
  await watching
})

test('what is stored can be listed, and a deletion forgotten once it is old', async () => {
  const gone = { namespace: 'green', name: 'gone.long' }
  const kept = { namespace: 'green', name: 'kept' }
  await storePolicy(controller, gone, { generation: 1 })
  await storePolicy(controller, gone, null)
  await storePolicy(controller, kept, { generation: 1 })
  expect(await storedPolicies(controller)).toEqual(expect.arrayContaining([gone, kept]))
  const past = new Date(Date.now() - 60_000)
  const future = new Date(Date.now() + 60_000)
  expect(await forgetPolicy(controller, gone, past)).toBe(false)
  expect(await forgetPolicy(controller, kept, future)).toBe(false)
  expect(await forgetPolicy(controller, gone, future)).toBe(true)
  expect(await storedPolicies(controller)).not.toContainEqual(gone)
  expect(await storePolicy(controller, gone, null)).toBe(false)
})
