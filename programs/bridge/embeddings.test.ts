import type { ServerResponse } from 'node:http'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Answer, decodeVector, type InMessage, sendIn } from '#core/journal'
import { type BridgeRig, portOn, type RigOptions, startBridgeRig } from '../../test/support/bridge.ts'
import {
  type Received,
  startGateway,
  startUpstream,
  type TestGateway,
  type TestUpstream,
} from '../../test/support/gateway.ts'
import { startNats, type TestNats } from '../../test/support/nats.ts'

/** The gateway is the real one; behind it the demo provider, or a server that a test commands. */
let nats: TestNats
let gateway: TestGateway
let upstream: TestUpstream
let answerUpstream: (request: Received, response: ServerResponse) => void
let rig: BridgeRig
beforeAll(async () => {
  nats = await startNats()
  upstream = await startUpstream((request, response) => answerUpstream(request, response))
  gateway = await startGateway({
    bus: portOn(nats.connect({ kind: 'gateway' })),
    secrets: { 'team/vectors': { apiKey: 'provider-key', baseURL: upstream.url } },
  })
})
afterAll(async () => {
  await gateway.close()
  await upstream.close()
  await nats.close()
})
afterEach(async () => await rig?.close())

const patient = { timeout: 30_000 }
const demo = { provider: 'demo', name: 'demo', dimensions: 32, shortened: true }
const own = { provider: 'vectors', name: 'v', dimensions: 2, shortened: false, secretRef: { name: 'vectors' } }

async function begin(embeddings: typeof demo = demo, more: Partial<RigOptions['effective']> = {}) {
  const { provider, name: model } = embeddings
  rig = await startBridgeRig({
    ...{ nats, sandbox: false, gatewayUrl: gateway.url },
    effective: { featureGates: { memory: true }, memory: { scopes: ['session'], embeddings }, ...more },
    runToken: ({ uid, namespace, instance }) =>
      gateway.token({
        ...{ uid, namespace, instance },
        embeddings: { provider, model, ...(provider === 'vectors' && { secretRef: 'vectors' }) },
      }),
  })
  await rig.start()
}
/** What a replica of the API server sends. */
const reply = async (callId: string, answer: Answer, more: Partial<InMessage> = {}) =>
  await sendIn(rig.controller, rig.run, { type: 'answer', callId, attempt: 1, answer, ...more } as InMessage)
const found = (...searchedBy: string[]): Answer => ({ ok: true, output: { memories: [], searchedBy } })
const called = async (id: string) => {
  const entry = async () => (await rig.entries('called')).find(({ call }) => call.id === id)
  await vi.waitFor(async () => expect(await entry()).toBeDefined(), patient)
  return await entry()
}
const answered = (id: string) => vi.waitFor(() => expect(rig.answer(id)).toBeDefined(), patient)
const embeddings = async () => (await rig.entries('answered')).filter(({ tool }) => tool === 'embedding')
const embedded = async (count: number) => {
  await vi.waitFor(async () => expect(await embeddings()).toHaveLength(count), patient)
  return await embeddings()
}

describe('memories that a model of the instance compares', () => {
  it('are searched with what the query means, which is a call of its own, recorded and counted', async () => {
    await begin()
    rig.request('1', 'memory_search', { query: 'what does the customer drink?' })
    const search = await called('1')
    expect(search).toMatchObject({ verdict: { action: 'allow' }, meaning: { model: 'demo/demo', dimensions: 32 } })
    expect(search?.meaning && decodeVector(search.meaning)).toHaveLength(32)
    const [asked] = await rig.entries('called')
    expect(asked).toMatchObject({
      call: { id: expect.stringMatching(/^bridge:embedding-\d+$/), tool: 'embedding', input: { query: '1' } },
      verdict: { action: 'allow', reason: expect.stringContaining('demo/demo') },
    })
    expect(await embeddings()).toMatchObject([
      { answer: { ok: true, output: { model: 'demo/demo', dimensions: 32 } }, tokens: { input: 5, output: 0 } },
    ])
    await reply('1', found('meaning', 'words'))
    await answered('1')
    rig.result('done')
    await vi.waitFor(async () => expect((await rig.record()).outcome).toBeDefined(), patient)
    // The agent called one tool and no model; what its search took is counted.
    expect((await rig.record()).outcome?.usage).toEqual({
      inputTokens: 5,
      outputTokens: 0,
      modelCalls: 0,
      toolCalls: 1,
    })
  })

  it('that have no vector yet are embedded when the API server says so, before what was stored is answered', async () => {
    await begin()
    rig.request('1', 'memory_store', { content: 'tea' })
    expect(await called('1')).not.toHaveProperty('meaning')
    const memories = [
      { id: 'a', content: 'tea' },
      { id: 'b', content: 'coffee' },
    ]
    await reply('1', { ok: true, output: { id: 'a' } }, { unembedded: memories })
    await answered('1')
    const [made] = await embedded(1)
    const output = { model: 'demo/demo', dimensions: 32, memories: [{ id: 'a' }, { id: 'b' }] }
    expect(made).toMatchObject({ answer: { ok: true, output }, tokens: { input: 2 } })
    expect((await rig.entries('answered')).map(({ tool }) => tool)).toEqual(['embedding', 'memory_store'])
    // Once is enough, however often it is asked for.
    rig.request('2', 'memory_store', { content: 'milk' })
    await called('2')
    await reply('2', { ok: true, output: { id: 'c' } }, { unembedded: [...memories, { id: 'c', content: 'milk' }] })
    await answered('2')
    const [, second] = await embedded(2)
    expect(second).toMatchObject({ answer: { output: { memories: [{ id: 'c' }] } } })
  })

  it('are found by their words where the provider refuses, gives what is no vector of that length, or fails', async () => {
    await begin(own)
    const replies: [number, object][] = [
      [429, { error: { message: 'slow down' } }],
      [200, { data: [{ index: 0, embedding: [1, 2, 3] }] }],
      [200, { data: [] }],
      [200, { data: [{ index: 5, embedding: [1, 2] }] }],
      [200, { data: [{ index: 0, embedding: ['a', 'b'] }] }],
    ]
    answerUpstream = (_, response) => {
      const [status, body] = replies.shift() ?? [500, {}]
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    }
    const count = replies.length
    for (let i = 1; i <= count; i++) {
      rig.request(`${i}`, 'memory_search', { query: 'tea' })
      expect(await called(`${i}`)).not.toHaveProperty('meaning')
      await reply(`${i}`, found('meaning', 'words'))
      await answered(`${i}`)
    }
    expect((await embedded(count)).map(({ answer }) => (answer.ok ? '' : answer.error.message))).toEqual([
      'the gateway answered 429: slow down',
      'vectors/v: it gave other vectors than of 2 numbers',
      expect.stringContaining('vectors/v: '),
      'vectors/v: it left a text without a vector',
      expect.stringContaining('vectors/v: '),
    ])
    expect(JSON.parse(upstream.received[0]?.body ?? '')).toEqual({
      model: 'v',
      input: ['tea'],
      encoding_format: 'float',
    })
  })

  it('cost nothing where the call is refused or wrong, the database compares none, or the tokens are used up', async () => {
    await begin()
    rig.request('wrong', 'memory_search', { query: '' })
    await answered('wrong')
    expect(await embeddings()).toEqual([])
    rig.request('1', 'memory_search', { query: 'tea' })
    await called('1')
    await reply('1', found('words'))
    await answered('1')
    rig.request('2', 'memory_search', { query: 'tea' })
    expect(await called('2')).not.toHaveProperty('meaning')
    expect(await embeddings()).toHaveLength(1)
    await rig.close()
    await begin(demo, { limits: { timeoutSeconds: 600, maxSteps: 64, maxTokens: 1 } })
    rig.request('1', 'memory_search', { query: 'tea' })
    expect(await called('1')).toHaveProperty('meaning')
    rig.request('2', 'memory_search', { query: 'tea' })
    expect(await called('2')).not.toHaveProperty('meaning')
    expect(await embedded(2)).toMatchObject([{ answer: { ok: true } }, { answer: { error: { code: 'denied' } } }])
    await rig.close()
    await begin(demo, { toolPolicy: { deny: ['memory_search'] } })
    rig.request('1', 'memory_search', { query: 'tea' })
    await answered('1')
    expect(rig.answer('1')).toMatchObject({ error: { code: 'denied' } })
    expect(await embeddings()).toEqual([])
  })

  it('are asked for again by a bridge that was killed before their call was recorded', async () => {
    await begin(own)
    let held = 0
    answerUpstream = () => void held++
    rig.request('1', 'memory_search', { query: 'tea' })
    await vi.waitFor(() => expect(held).toBe(1), patient)
    await rig.kill9()
    answerUpstream = (_, response) => void response.end(JSON.stringify({ data: [{ index: 0, embedding: [3, 4] }] }))
    await rig.start()
    const { meaning } = (await called('1')) ?? {}
    expect(meaning && decodeVector(meaning)).toEqual([expect.closeTo(0.6, 5), expect.closeTo(0.8, 5)])
    await reply('1', found('meaning', 'words'))
    await answered('1')
    expect((await embedded(2)).map(({ answer }) => answer.ok || answer.error.code)).toEqual(
      expect.arrayContaining(['in_doubt', true]),
    )
  })
})
