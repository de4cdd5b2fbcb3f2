import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RunClaims } from '#core/identity'
import type { UsageMessage } from '#core/journal'
import { type PolicyInForce, readPolicyInForce } from '#core/policy'
import { ask, startGateway, startUpstream, type TestGateway, type TestUpstream } from '../../test/support/gateway.ts'

const key = 'sk-of-the-embeddings'
const path = '/openai/v1/embeddings'
const vectors = {
  object: 'list',
  data: [{ object: 'embedding', index: 0, embedding: [0.5, 0.25] }],
  model: 'vectors-1',
  usage: { prompt_tokens: 9, total_tokens: 9 },
}

let upstream: TestUpstream
let gateway: TestGateway
let answer: { status: number; body: unknown } = { status: 200, body: vectors }
let inForce: PolicyInForce | undefined
const usages: UsageMessage[] = []

beforeAll(async () => {
  upstream = await startUpstream((_, response) => {
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify(answer.body))
  })
  gateway = await startGateway({
    bus: { live: async () => {}, usage: async (_, message) => void usages.push(message) },
    secrets: {
      'tenant-a/vectors': { apiKey: key, baseURL: `${upstream.url}/v1` },
      'tenant-a/talk': { apiKey: 'sk-of-the-agent', baseURL: 'http://127.0.0.1:9/' },
      'tenant-b/vectors': { apiKey: 'sk-of-tenant-b', baseURL: 'http://127.0.0.1:9/' },
    },
    policies: { of: () => inForce },
  })
})
afterAll(async () => {
  await gateway.close()
  await upstream.close()
})

let runs = 0
const named = { provider: 'vectors', secretRef: 'vectors', model: 'vectors-1' }
async function embed(claims: Partial<RunClaims> = {}, more: object = {}) {
  const uid = `embedding-${++runs}`
  const talks = { provider: 'talk', secretRef: 'talk', models: ['talk-1'] }
  const token = gateway.token({ uid, ...talks, embeddings: named, ...claims })
  const body = { model: 'vectors-1', input: ['the customer likes tea'], ...more }
  // No step: embeddings are none.
  const headers = { 'x-k8sclaw-step': '' }
  const { status, body: text, trailers } = await ask(gateway.url + path, { token, body, headers })
  return { uid, status, json: JSON.parse(text) as typeof vectors & { error: { message: string } }, trailers }
}

describe('embeddings', () => {
  it("are asked of the provider that the instance names for them, with that provider's key, and metered", async () => {
    const { uid, status, json, trailers } = await embed({}, { encoding_format: 'float', dimensions: 2 })
    expect({ status, json }).toEqual({ status: 200, json: vectors })
    const got = upstream.received.at(-1)
    expect(got).toMatchObject({ method: 'POST', path: '/v1/embeddings', headers: { authorization: `Bearer ${key}` } })
    expect(JSON.parse(got?.body ?? '')).toEqual({
      ...{ model: 'vectors-1', input: ['the customer likes tea'], encoding_format: 'float', dimensions: 2 },
    })
    expect(JSON.parse(trailers['x-k8sclaw-usage'] ?? '')).toEqual({ input: 9, output: 0 })
    await expect
      .poll(() => usages.filter(({ run }) => run === uid))
      .toMatchObject([
        { provider: 'vectors', model: 'vectors-1', step: 0, inputTokens: 9, outputTokens: 0, status: 200 },
      ])
  })

  it.each<[string, Partial<RunClaims>, object, number, string]>([
    ['a run whose instance names none', { embeddings: undefined as never }, {}, 403, 'names no embeddings model'],
    ['the model of its agent', {}, { model: 'talk-1' }, 403, 'may use vectors-1, not talk-1'],
    ['a Secret that is not there', { embeddings: { ...named, secretRef: 'gone' } }, {}, 403, 'Secret gone does not'],
    ['a Secret of another namespace', { namespace: 'tenant-c' }, {}, 403, 'does not exist in namespace tenant-c'],
    ['a provider without a Secret', { embeddings: { provider: 'x', model: 'vectors-1' } }, {}, 403, 'names no Secret'],
    ['a provider that has none', { embeddings: { ...named, provider: 'anthropic' } }, {}, 400, 'wire format'],
    ['a URL that its policy does not allow', { baseURLs: ['https://proxy.example'] }, {}, 403, 'does not allow'],
    ['tokens in the place of texts', {}, { input: [[1, 2]] }, 400, 'input: must be texts'],
    ['no text', {}, { input: '' }, 400, 'input: must be texts'],
    ['nothing', {}, { input: [] }, 400, 'input: must be 1 to 2048 texts'],
    ['a length that is none', {}, { dimensions: -1 }, 400, 'dimensions: must be'],
    ['a field that nobody has judged', {}, { file_id: 'file-1' }, 403, 'file_id'],
  ])('are refused to %s, and nobody is asked', async (_, claims, more, status, message) => {
    const asked = upstream.received.length
    const refused = await embed(claims, more)
    expect(refused.status).toBe(status)
    expect(refused.json.error.message).toContain(message)
    expect(upstream.received.length).toBe(asked)
    expect(usages.filter(({ run }) => run === refused.uid)).toEqual([])
  })

  it('are judged by the policy as it is now', async () => {
    const policy = { name: 'team', generation: 2 }
    const rules = { toolGating: { defaultAction: 'deny', rules: [] }, featureGates: {} }
    inForce = readPolicyInForce({ policy, ...rules, modelPolicy: { allowed: ['talk/*'] } })
    const { status, json } = await embed({ policy: 'team' })
    inForce = undefined
    expect(status).toBe(403)
    expect(json.error.message).toBe('policy team, as it is now, does not allow the model vectors/vectors-1')
  })

  it('are told to fail as the provider says it, without its key, and open no other model', async () => {
    answer = { status: 429, body: { error: { message: `slow down, ${key}` } } }
    const { status, json } = await embed()
    answer = { status: 200, body: vectors }
    expect({ status, message: json.error.message }).toEqual({ status: 429, message: 'slow down, [redacted]' })
    const token = gateway.token({ provider: 'talk', secretRef: 'talk', models: ['talk-1'], embeddings: named })
    const body = { model: 'vectors-1', messages: [{ role: 'user', content: 'hi' }] }
    const talk = await ask(`${gateway.url}/openai/v1/chat/completions`, { token, body })
    expect(talk).toMatchObject({ status: 403 })
    expect(gateway.logged.join('\n')).not.toContain(key)
  })

  it('of the demo provider are made here: the same text gives the same, and shared words bring texts near', async () => {
    const demo = { embeddings: { provider: 'demo', model: 'demo' } }
    const texts = ['the customer prefers tea', 'The customers prefer tea!', 'deployments happen on friday']
    const { json } = await embed(demo, { model: 'demo', input: texts, dimensions: 64 })
    const [a = [], b = [], c = []] = json.data.map(({ embedding }) => embedding)
    const alike = (x: number[], y: number[]) => x.reduce((sum, value, i) => sum + value * (y[i] ?? 0), 0)
    expect([a.length, alike(a, a)]).toEqual([64, expect.closeTo(1, 5)])
    expect(alike(a, b)).toBeGreaterThan(alike(a, c) + 0.3)
    expect(json.usage.prompt_tokens).toBe(12)
    const again = await embed(demo, { model: 'demo', input: texts[0], dimensions: 64 })
    expect(again.json.data[0]?.embedding).toEqual(a)
    expect((await embed(demo, { model: 'demo', dimensions: 5000 })).status).toBe(400)
    const packed = await embed(demo, { model: 'demo', input: texts[0], dimensions: 64, encoding_format: 'base64' })
    const bytes = Buffer.from(String(packed.json.data[0]?.embedding), 'base64')
    expect(Array.from({ length: 64 }, (_, i) => bytes.readFloatLE(4 * i))).toEqual(a)
  })
})
