import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Bus, ensureStreams } from '#core/bus'
import { ask, startGateway, startUpstream, type TestGateway, type TestUpstream } from '../../test/support/gateway.ts'
import { startMetrics, type TestMetrics } from '../../test/support/metrics.ts'
import { startNats, type TestNats } from '../../test/support/nats.ts'
import { portOn } from './bus-port.ts'

const patient = { timeout: 20_000 }
const usage = { prompt_tokens: 7, completion_tokens: 2 }
const choices = [{ index: 0, message: { role: 'assistant', content: 'said' }, finish_reason: 'stop' }]

let metrics: TestMetrics
let nats: TestNats
let bus: Bus
let upstream: TestUpstream
let gateway: TestGateway
let gate = Promise.withResolvers<void>()
beforeAll(async () => {
  metrics = await startMetrics()
  nats = await startNats()
  await ensureStreams(await nats.connect({ kind: 'controller' }))
  bus = await nats.connect({ kind: 'gateway' })
  upstream = await startUpstream(async ({ body }, response) => {
    const { messages } = JSON.parse(body) as { messages: { content: string }[] }
    const said = messages[0]?.content
    if (said === 'slow') await gate.promise
    const status = Number(said) || 200
    const answer = status === 200 ? { choices, ...(said !== 'unmetered' && { usage }) } : { error: { message: 'no' } }
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
  })
  gateway = await startGateway({
    bus: portOn(Promise.resolve(bus)),
    secrets: { 'tenant-a/own': { apiKey: 'sk-test', baseURL: upstream.url } },
  })
})
afterAll(async () => {
  await gateway?.close()
  await Promise.all([nats?.close(), upstream?.close(), metrics.close()])
})

const models = ['gpt-4.1', 'a-tenants-secret-model']
const claims = { provider: 'openai', secretRef: 'own', models, namespace: 'tenant-a' }
/** Asks a model, and gives the status of the answer. */
async function call(content: string, { model = 'gpt-4.1', headers = {}, token = gateway.token(claims) } = {}) {
  const body = { model, messages: [{ role: 'user', content }] }
  return (await ask(`${gateway.url}/openai/v1/chat/completions`, { token, body, headers })).status
}
const priced = 'provider="openai",model="gpt-4.1"'
const other = 'provider="other",model="other"'

test('calls are counted by the status of their answer, with the tokens that the provider told of', async () => {
  expect(await call('hi')).toBe(200)
  expect(await call('hi')).toBe(200)
  expect(await call('hi', { model: 'a-tenants-secret-model' })).toBe(200)
  expect(await call('unmetered')).toBe(200)
  expect(await call('429')).toBe(429)
  expect(await call('418')).toBe(418)
  await expect
    .poll(() => metrics.values('k8sclaw_model_calls_total'), patient)
    .toEqual({
      [`{${priced},status="200"}`]: 3,
      [`{${other},status="200"}`]: 1,
      [`{${priced},status="429"}`]: 1,
      [`{${priced},status="4xx"}`]: 1,
    })
  expect(await metrics.values('k8sclaw_model_call_seconds_count')).toEqual({ [`{${priced}}`]: 5, [`{${other}}`]: 1 })
  expect(await metrics.values('k8sclaw_model_tokens_total')).toEqual({
    [`{${priced},direction="input"}`]: 14,
    [`{${priced},direction="output"}`]: 4,
    [`{${other},direction="input"}`]: 7,
    [`{${other},direction="output"}`]: 2,
  })
  expect(await metrics.values('k8sclaw_model_unmetered_total')).toEqual({ [`{${priced}}`]: 1 })
})

test('calls under way are counted while they are, and what is refused by its code, and never as a call', async () => {
  const before = await metrics.values('k8sclaw_model_calls_total')
  gate = Promise.withResolvers()
  const busy = gateway.token({ ...claims, uid: 'busy' })
  const slow = Array.from({ length: 16 }, () => call('slow', { token: busy }))
  await expect.poll(() => metrics.values('k8sclaw_model_calls_under_way'), patient).toEqual({ '': 16 })
  expect(await call('hi', { token: busy })).toBe(429)
  expect(await call('hi', { token: 'forged' })).toBe(401)
  expect(await call('hi', { model: 'gpt-4o' })).toBe(403)
  expect(await call('hi', { headers: { 'x-k8sclaw-step': 'first' } })).toBe(400)
  expect(await metrics.values('k8sclaw_model_refusals_total')).toEqual({
    '{code="too_many"}': 1,
    '{code="unauthenticated"}': 1,
    '{code="forbidden"}': 1,
    '{code="malformed"}': 1,
  })
  expect(await metrics.values('k8sclaw_model_calls_total')).toEqual(before)
  gate.resolve()
  expect(new Set(await Promise.all(slow))).toEqual(new Set([200]))
  await expect.poll(() => metrics.values('k8sclaw_model_calls_under_way'), patient).toEqual({ '': 0 })
})

test('usage waits for a bus that is away, and is counted as lost only where it was written to the log', async () => {
  const waiting = () => metrics.values('k8sclaw_usage_outbox_depth')
  await expect.poll(waiting, patient).toEqual({ '': 0 })
  await nats.kill9()
  for (const _ of [1, 2, 3]) expect(await call('hi')).toBe(200)
  await expect.poll(waiting, patient).toEqual({ '': 3 })
  await nats.restart()
  await expect.poll(waiting, patient).toEqual({ '': 0 })
  expect(await metrics.values('k8sclaw_usage_unpublished_total')).toEqual({ '': 0 })
  await nats.kill9()
  await expect.poll(() => bus.connected, patient).toBe(false)
  expect(await call('hi')).toBe(200)
  await gateway.flush(0)
  expect(await metrics.values('k8sclaw_usage_unpublished_total')).toEqual({ '': 1 })
  expect(gateway.logged.filter((line) => line.includes('usage not published'))).toHaveLength(1)
})
