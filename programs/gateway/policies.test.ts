import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Bus, ensureStreams, storePolicy } from '#core/bus'
import type { RunClaims } from '#core/identity'
import { type ClawPolicy, clawPolicySpec, parseSpec } from '#core/kinds'
import { compilePolicy } from '#core/policy'
import { ask, startGateway, startUpstream, type TestGateway, type TestUpstream } from '../../test/support/gateway.ts'
import { startNats, type TestNats } from '../../test/support/nats.ts'
import { portOn } from './bus-port.ts'
import { PoliciesOfBus } from './policies.ts'

const wait = { timeout: 10_000, interval: 20 }
const completion = { choices: [{ index: 0, message: { role: 'assistant', content: 'hi' }, finish_reason: 'stop' }] }

let nats: TestNats
let controller: Bus
let upstream: TestUpstream
let gateway: TestGateway
const stop = new AbortController()
const secrets: Record<string, Record<string, string>> = {}
const bus = Promise.withResolvers<Bus>()

beforeAll(async () => {
  nats = await startNats()
  controller = await nats.connect({ kind: 'controller' })
  await ensureStreams(controller)
  upstream = await startUpstream((_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(completion))
  })
  secrets['tenant-a/key'] = { apiKey: 'sk-x', baseURL: `${upstream.url}/v1` }
  const policies = new PoliciesOfBus()
  void policies.follow(bus.promise, stop.signal)
  gateway = await startGateway({ bus: portOn(bus.promise), secrets, policies })
})
afterAll(async () => {
  stop.abort()
  await gateway.close()
  await upstream.close()
  await nats.close()
})

async function call(claims: Partial<RunClaims> = {}): Promise<string> {
  const of = { provider: 'openai', models: ['gpt-small'], secretRef: 'key', policy: 'team', ...claims }
  const { status, body } = await ask(`${gateway.url}/openai/v1/chat/completions`, {
    token: gateway.token(of),
    body: { model: 'gpt-small', messages: [{ role: 'user', content: 'hello' }] },
  })
  return status === 200 ? 'ok' : `${status} ${(JSON.parse(body) as { error: { message: string } }).error.message}`
}

async function edit(modelPolicy: object | undefined, generation: number): Promise<void> {
  const policy: ClawPolicy = {
    apiVersion: 'k8sclaw.io/v1alpha1',
    kind: 'ClawPolicy',
    metadata: { name: 'team', namespace: 'tenant-a', generation },
    spec: parseSpec(clawPolicySpec, modelPolicy ? { modelPolicy } : {}),
  }
  await storePolicy(controller, { namespace: 'tenant-a', name: 'team' }, compilePolicy(policy))
}

describe('each model request is judged by the policy as it is now', () => {
  it('is put off while no policy is known, unless none bound the run', async () => {
    expect(await call()).toBe('502 the policies in force are not known yet')
    bus.resolve(await nats.connect({ kind: 'gateway' }))
    await expect.poll(() => call(), wait).toBe('ok')
  })

  it('is refused once its model, or the address of its provider, is taken off the list', async () => {
    await edit({ allowed: ['openai/gpt-large'] }, 2)
    await expect
      .poll(() => call(), wait)
      .toBe('403 policy team, as it is now, does not allow the model openai/gpt-small')
    await edit({ allowed: ['openai/*'], baseURLs: ['https://proxy.example/v1'] }, 3)
    await expect
      .poll(() => call(), wait)
      .toBe(`403 policy team, as it is now, does not allow the provider at ${upstream.url}`)
    const asked = upstream.received.length
    await edit({ baseURLs: [`${upstream.url}/v1`] }, 4)
    await expect.poll(() => call(), wait).toBe('ok')
    expect(upstream.received.length).toBe(asked + 1)
  })

  it('is refused at an address that the run was not started with, whatever the policy says now', async () => {
    expect(await call({ baseURLs: ['https://proxy.example/v1'] })).toBe(
      `403 the policy of this run does not allow the provider at ${upstream.url}`,
    )
    expect(await call({ baseURLs: [upstream.url] })).toBe('ok')
  })

  it("is not judged by another namespace's policy of that name", async () => {
    await edit({ allowed: [] }, 5)
    await expect.poll(() => call(), wait).toContain('403')
    secrets['tenant-b/key'] = secrets['tenant-a/key'] ?? {}
    expect(await call({ namespace: 'tenant-b' })).toBe('ok')
  })
})
