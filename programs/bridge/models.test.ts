import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type BridgeRig, bridgeKey, portOn, type RigOptions, startBridgeRig } from '../../test/support/bridge.ts'
import { startGateway, startUpstream, type TestGateway, type TestUpstream } from '../../test/support/gateway.ts'
import { startNats, type TestNats } from '../../test/support/nats.ts'

/** The gateway is the real one; behind it the demo model, or a provider-shaped server that a test commands. */
let nats: TestNats
let gateway: TestGateway
let upstream: TestUpstream
let answerUpstream: (response: ServerResponse) => void | Promise<void>
let rig: BridgeRig
beforeAll(async () => {
  nats = await startNats()
  upstream = await startUpstream((_request, response) => answerUpstream(response))
  gateway = await startGateway({
    bus: portOn(nats.connect({ kind: 'gateway' })),
    secrets: { 'team/upstream': { apiKey: 'provider-key', baseURL: upstream.url } },
  })
})
afterAll(async () => {
  await gateway.close()
  await upstream.close()
  await nats.close()
})
afterEach(() => rig.close())

const patient = { timeout: 15_000 }

async function begin(provider: 'demo' | 'test', options: Partial<RigOptions> = {}) {
  rig = await startBridgeRig({
    nats,
    sandbox: false,
    gatewayUrl: gateway.url,
    runToken: ({ uid, namespace, instance }) => {
      const of = { uid, namespace, instance }
      return gateway.token(provider === 'demo' ? of : { ...of, provider, secretRef: 'upstream', models: ['m'] })
    },
    ...options,
  })
  await rig.start()
}

interface Answered {
  call: ClientRequest
  response: IncomingMessage
  status: number | undefined
  /** The rest of the body. */
  text: () => Promise<string>
}

async function post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answered> {
  const call = request(new URL(path, rig.url), {
    method: body === undefined ? 'GET' : 'POST',
    agent: false,
    headers: { authorization: `Bearer ${bridgeKey}`, 'content-type': 'application/json', ...headers },
  })
  call.end(body === undefined ? undefined : JSON.stringify(body))
  const [response] = (await once(call, 'response')) as [IncomingMessage]
  const text = async () => {
    let all = ''
    for await (const chunk of response) all += String(chunk)
    return all
  }
  return { call, response, status: response.statusCode, text }
}
const chat = '/openai/v1/chat/completions'
const ask = (model: string, more = {}) => ({ model, messages: [{ role: 'user', content: 'hi' }], ...more })
const chunk = (content: string) =>
  `data: ${JSON.stringify({ id: 'x', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta: { content }, finish_reason: null }] })}\n\n`
const usage = (prompt_tokens: number, completion_tokens: number) =>
  `data: ${JSON.stringify({ id: 'x', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [], usage: { prompt_tokens, completion_tokens, total_tokens: 0 } })}\n\ndata: [DONE]\n\n`

describe('a model request', () => {
  it('crosses the boundary: recorded by hash before, with its tokens after', async () => {
    await begin('demo')
    const body = ask('demo')
    const answer = await post(chat, body)
    expect(answer.status).toBe(200)
    const reply = JSON.parse(await answer.text()) as { choices: { message: { content: string } }[] }
    const text = reply.choices[0]?.message.content
    expect(text).toBeTruthy()
    const [called, answered] = (await rig.record()).entries
    const inputHash = createHash('sha256').update(JSON.stringify(body)).digest('hex')
    expect(called).toMatchObject({ kind: 'called', call: { id: 'model-1', tool: 'model', step: 1, inputHash } })
    expect(called).not.toHaveProperty('call.input')
    expect(answered).toMatchObject({
      kind: 'answered',
      callId: 'model-1',
      answer: { ok: true, output: { status: 200, text } },
      tokens: { input: expect.any(Number), output: expect.any(Number) },
    })
  })

  it('of the other wire format does too, with the key in its header', async () => {
    await begin('demo')
    const headers = { authorization: '', 'x-api-key': bridgeKey, 'anthropic-version': '2023-06-01' }
    const answer = await post('/anthropic/v1/messages?beta=true', ask('demo', { max_tokens: 100 }), headers)
    expect(JSON.parse(await answer.text())).toMatchObject({ type: 'message' })
    const count = await post('/anthropic/v1/messages/count_tokens', ask('demo'), headers)
    expect(JSON.parse(await count.text())).toMatchObject({ input_tokens: expect.any(Number) })
    expect((await rig.entries('called')).map(({ call }) => [call.id, call.step])).toEqual([
      ['model-1', 1],
      ['count-2', undefined],
    ])
  })

  it('streams: each piece arrives before the next is sent', async () => {
    await begin('test')
    let next = () => {}
    answerUpstream = async (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      for (const word of ['one', 'two', 'three']) {
        response.write(chunk(word))
        await new Promise<void>((resolve) => {
          next = resolve
        })
      }
      response.end(usage(7, 3))
    }
    const { response } = await post(chat, ask('m', { stream: true, stream_options: { include_usage: true } }))
    let seen = ''
    response.on('data', (data) => {
      seen += String(data)
    })
    const ended = once(response, 'end')
    for (const word of ['one', 'two', 'three']) {
      await vi.waitFor(() => expect(seen).toContain(word), patient)
      next()
    }
    await ended
    expect(seen).toBe(chunk('one') + chunk('two') + chunk('three') + usage(7, 3))
    expect(await rig.entries('answered')).toMatchObject([
      { answer: { output: { text: 'onetwothree' } }, tokens: { input: 7, output: 3 } },
    ])
    rig.result('done')
    await vi.waitFor(async () => {
      const { outcome } = await rig.record()
      expect(outcome?.usage).toEqual({ inputTokens: 7, outputTokens: 3, modelCalls: 1, toolCalls: 0 })
    }, patient)
  })

  it('is read to its end, and its cost recorded, when the agent hangs up', async () => {
    await begin('test')
    let next = () => {}
    answerUpstream = async (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(chunk('one'))
      await new Promise<void>((resolve) => {
        next = resolve
      })
      response.end(chunk('two') + usage(7, 3))
    }
    const { call, response } = await post(chat, ask('m', { stream: true, stream_options: { include_usage: true } }))
    await once(response, 'data')
    response.on('error', () => {})
    call.destroy()
    next()
    await vi.waitFor(async () => {
      expect(await rig.entries('answered')).toMatchObject([{ answer: { ok: true }, tokens: { input: 7, output: 3 } }])
    }, patient)
  })

  it('whose answer breaks off is in doubt, and broken off for the agent too', async () => {
    await begin('test')
    answerUpstream = (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(chunk('one'), () => response.destroy())
    }
    const { text } = await post(chat, ask('m', { stream: true }))
    await expect(text()).rejects.toThrow()
    expect(await rig.entries('answered')).toMatchObject([{ answer: { error: { code: 'in_doubt' } } }])
  })

  it('that the provider refuses is passed on as it is', async () => {
    await begin('test')
    answerUpstream = (response) => {
      response.writeHead(400, { 'content-type': 'application/json' }).end('{"error":{"message":"no"}}')
    }
    const answer = await post(chat, ask('m'))
    expect([answer.status, await answer.text()]).toEqual([400, '{"error":{"message":"no"}}'])
    expect(await rig.entries('answered')).toMatchObject([{ answer: { error: { code: 'failed' } } }])
  })

  it('waits for a gateway that is not there, and is not recorded twice for it', async () => {
    rig = await startBridgeRig({ nats, sandbox: false, gatewayUrl: 'http://127.0.0.1:9' })
    await rig.start()
    const call = request(new URL(chat, rig.url), { method: 'POST', headers: { authorization: `Bearer ${bridgeKey}` } })
    call.on('error', () => {})
    call.end(JSON.stringify(ask('demo')))
    await vi.waitFor(async () => expect(await rig.entries('called')).toHaveLength(1), patient)
    call.destroy()
    rig.result('done')
    await vi.waitFor(async () => expect((await rig.record()).outcome).toBeDefined(), patient)
    expect(await rig.entries('called')).toHaveLength(1)
  })
})

describe('limits of the run', () => {
  const limited = (over: object) => ({
    effective: { limits: { timeoutSeconds: 600, maxSteps: 64, maxTokens: 1_000_000, ...over } },
  })

  it('on steps hold across a restart of the bridge, and tell an SDK not to try again', async () => {
    await begin('demo', limited({ maxSteps: 2 }))
    expect((await post(chat, ask('demo'))).status).toBe(200)
    await vi.waitFor(async () => expect(await rig.entries('answered')).toHaveLength(1), patient)
    await rig.kill9()
    await rig.start()
    await (await post(chat, ask('demo'))).text()
    const refused = await post(chat, ask('demo'))
    expect([refused.status, refused.response.headers['x-should-retry']]).toEqual([429, 'false'])
    expect(JSON.parse(await refused.text())).toMatchObject({
      error: { code: 'denied', message: expect.stringContaining('2 steps') },
    })
    expect((await rig.entries('called')).map(({ call, verdict }) => [call.step, verdict.action])).toEqual([
      [1, 'allow'],
      [2, 'allow'],
      [3, 'deny'],
    ])
  })

  it('on tokens count what the gateway told', async () => {
    await begin('demo', limited({ maxTokens: 1 }))
    await (await post(chat, ask('demo'))).text()
    const refused = await post('/anthropic/v1/messages', ask('demo', { max_tokens: 1 }))
    expect(refused.status).toBe(429)
    expect(JSON.parse(await refused.text())).toMatchObject({ type: 'error', error: { type: 'rate_limit_error' } })
  })

  it('end with the run: everything is answered run_ended', async () => {
    await begin('demo')
    rig.result('done')
    await vi.waitFor(async () => expect((await rig.record()).outcome).toBeDefined(), patient)
    const refused = await post(chat, ask('demo'))
    expect([refused.status, refused.response.headers['x-should-retry']]).toEqual([403, 'false'])
    expect(await refused.text()).toContain('run_ended')
    expect(await rig.entries('called')).toEqual([])
  })
})

describe('the door', () => {
  it('is closed to whoever has not the key, comes from a web page, or means another host', async () => {
    await begin('demo')
    const { port } = new URL(rig.url)
    const status = async (headers: Record<string, string>) => {
      const answer = await post(chat, ask('demo'), headers)
      await answer.text()
      return answer.status
    }
    expect(await status({ authorization: '' })).toBe(401)
    expect(await status({ authorization: 'Bearer wrong' })).toBe(401)
    expect(await status({ authorization: '', 'x-api-key': `${bridgeKey}x` })).toBe(401)
    expect(await status({ origin: 'http://localhost' })).toBe(403)
    expect(await status({ host: `evil.example:${port}` })).toBe(403)
    expect(await status({ host: '127.0.0.1' })).toBe(403)
    expect(await status({ host: `localhost:${port}` })).toBe(200)
    expect(await rig.entries('called')).toHaveLength(1)
  })

  it('shows models without a record, health without the key, and nothing else', async () => {
    await begin('demo')
    const models = await post('/openai/v1/models', undefined)
    expect(JSON.parse(await models.text())).toMatchObject({ data: [{ id: 'demo' }] })
    expect((await post('/readyz', undefined, { authorization: '' })).status).toBe(200)
    for (const path of ['/openai/v1/files', '/anthropic/v1/models', '/', '/openai/v1/chat/completions/../files'])
      expect((await post(path, undefined)).status).toBe(404)
    expect(await rig.entries('called')).toEqual([])
  })

  it('refuses a body that is larger than any model request', async () => {
    await begin('demo')
    const answer = await post(chat, ask('demo', { user: 'x'.repeat(9_000_000) })).catch(() => undefined)
    expect(answer?.status ?? 413).toBe(413)
    expect(await rig.entries('called')).toEqual([])
    expect((await post(chat, ask('demo'))).status).toBe(200)
  })
})
