import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, jsonSchema, stepCountIs, streamText, tool } from 'ai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RunClaims } from '#core/identity'
import type { LiveMessage, UsageMessage } from '#core/journal'
import { ask, startGateway, startUpstream, type TestGateway, type TestUpstream } from '../../test/support/gateway.ts'
import type { BusPort } from './bus-port.ts'

globalThis.AI_SDK_LOG_WARNINGS = false

const key = 'sk-test-"quoted"-SECRET'

/** A bus that keeps what it is told. The real one is in bus.test.ts of this folder. */
class Ledger implements BusPort {
  readonly texts: LiveMessage[] = []
  readonly usages: UsageMessage[] = []
  async live(_: unknown, message: LiveMessage) {
    this.texts.push(message)
  }
  async usage(_: unknown, message: UsageMessage) {
    this.usages.push(message)
  }
  of(run: string) {
    return this.usages.filter((u) => u.run === run)
  }
}

const sse = (...data: unknown[]) =>
  data.map((d) => `data: ${typeof d === 'string' ? d : JSON.stringify(d)}\n\n`).join('')
const said = (content: string) => ({ choices: [{ index: 0, delta: { content } }] })
const closing = { choices: [], usage: { prompt_tokens: 11, completion_tokens: 4, total_tokens: 15 } }
const completion = {
  choices: [{ index: 0, message: { role: 'assistant', content: 'whole' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 7, completion_tokens: 2 },
}

/** What the test upstream does, by the last message of the user. */
const manners: Record<string, (response: ServerResponse) => void | Promise<void>> = {
  whole: (r) =>
    void r.writeHead(200, { 'content-type': 'application/json', 'x-secret': 's' }).end(JSON.stringify(completion)),
  stream: async (r) => {
    r.writeHead(200, { 'content-type': 'text/event-stream', 'request-id': 'req-1' })
    const bytes = Buffer.from(sse(said('Grüße '), said('an '), said('alle'), closing, '[DONE]'))
    for (let i = 0; i < bytes.length; i += 13) {
      r.write(bytes.subarray(i, i + 13))
      await sleep(1)
    }
    r.end()
  },
  slow: async (r) => {
    r.writeHead(200, { 'content-type': 'text/event-stream' })
    r.write(sse(said('first')))
    await sleep(150)
    r.write(sse(said(' second')))
    await sleep(150)
    r.end(sse(closing, '[DONE]'))
  },
  broken: (r) => {
    r.writeHead(200, { 'content-type': 'text/event-stream' })
    r.write(sse(said('half')), () => r.destroy())
  },
  torn: (r) => {
    r.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 })
    r.write('{"choices":', () => r.destroy())
  },
  redirect: (r) => void r.writeHead(307, { location: 'http://127.0.0.1:1/elsewhere' }).end(),
  gzip: (r) => void r.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }).end('xx'),
  unauthorized: (r) =>
    void r.writeHead(401).end(JSON.stringify({ error: { message: 'Incorrect API key: sk-test***' } })),
  busy: (r) => {
    const message = `busy for ${key}, ${encodeURIComponent(key)}, ${Buffer.from(key).toString('base64')}`
    r.writeHead(429, {
      'content-type': 'application/json',
      'retry-after': '3',
      'set-cookie': `k=${encodeURIComponent(key)}`,
    })
    r.end(JSON.stringify({ error: { message } }))
  },
  hangup: (r) => void r.destroy(),
}

let ledger: Ledger
let upstream: TestUpstream
let gateway: TestGateway

beforeAll(async () => {
  ledger = new Ledger()
  upstream = await startUpstream(async (request, response) => {
    const { messages } = JSON.parse(request.body) as { messages: { content: string }[] }
    await manners[messages.at(-1)?.content ?? '']?.(response)
  })
  gateway = await startGateway({
    bus: ledger,
    secrets: {
      'tenant-a/own': { apiKey: `${key}\n`, baseURL: `${upstream.url}/some/base/v1/` },
      'tenant-a/claude': { apiKey: key, baseURL: upstream.url },
      'tenant-a/no-key': { baseURL: upstream.url },
      'tenant-a/no-base': { apiKey: key },
      'tenant-a/odd-base': { apiKey: key, baseURL: `http://user:${key.replaceAll('"', '')}@127.0.0.1/` },
      'tenant-a/odd-key': { apiKey: 'two\nlines', baseURL: upstream.url },
      'tenant-a/nobody': { apiKey: key, baseURL: 'http://127.0.0.1:9/' },
      'tenant-a/bad-script': { script: 'steps: [{ reply: { txt: no } }]' },
      'tenant-a/slow-script': { script: 'steps: [{ reply: { text: [one, two], delayMs: 60000 } }]' },
      'tenant-b/own': { apiKey: 'sk-of-tenant-b', baseURL: upstream.url },
    },
  })
})
afterAll(async () => {
  await gateway.close()
  await upstream.close()
})

const chat = '/openai/v1/chat/completions'
let runs = 0

/** One chat completion of a run of its own. */
async function complete(
  content: string,
  { claims = {}, more = {}, path = chat }: { claims?: Partial<RunClaims>; more?: object; path?: string } = {},
) {
  const uid = `uid-${++runs}`
  const token = gateway.token({ uid, provider: 'own', secretRef: 'own', models: ['m', 'demo'], ...claims })
  const body = { model: 'm', max_tokens: 64, messages: [{ role: 'user', content }], ...more }
  const reply = await ask(gateway.url + path, { token, body })
  return { uid, ...reply, trailer: reply.trailers['x-k8sclaw-usage'] }
}

function problem(body: string): { type: string; message: string; code?: string } {
  return (JSON.parse(body) as { error: { type: string; message: string; code?: string } }).error
}

describe('a call to a provider', () => {
  it('carries the key of the Secret, the listed headers, and nothing that the client sent beside the body', async () => {
    const token = gateway.token({ provider: 'own', secretRef: 'own', models: ['m'] })
    const body = { model: 'm', messages: [{ role: 'user', content: 'whole' }] }
    const headers = { cookie: 'a=b', 'x-api-key': 'other', 'openai-organization': 'o', 'x-k8sclaw-step': '7' }
    await ask(gateway.url + chat, { token, body, headers })
    const { path, headers: sent, body: sentBody } = upstream.received.at(-1) ?? { headers: {} }
    expect(path).toBe('/some/base/v1/chat/completions')
    expect(JSON.parse(sentBody ?? '')).toEqual(body)
    const { host: _, connection: __, ...named } = sent
    expect(named).toEqual({
      authorization: `Bearer ${key}`,
      accept: '*/*',
      'accept-encoding': 'identity',
      'content-type': 'application/json',
      'content-length': String(sentBody?.length),
      'user-agent': 'k8sclaw-gateway',
    })
  })

  it('gives the key to Anthropic in its own header', async () => {
    await complete('whole', {
      claims: { provider: 'anthropic', secretRef: 'claude' },
      path: '/anthropic/v1/messages?beta=true',
    })
    const { path, headers } = upstream.received.at(-1) ?? {}
    expect(path).toBe('/v1/messages')
    expect(headers).toMatchObject({ 'x-api-key': key, 'anthropic-version': '2023-06-01' })
    expect(headers).not.toHaveProperty('authorization')
  })

  it('gives back the bytes and the listed headers, and tells the usage in a trailer and to the bus', async () => {
    const { uid, status, headers, body, trailer } = await complete('whole')
    expect({ status, body }).toEqual({ status: 200, body: JSON.stringify(completion) })
    expect(headers).not.toHaveProperty('x-secret')
    expect(trailer).toBe('{"input":7,"output":2}')
    expect(ledger.of(uid)).toEqual([
      expect.objectContaining({
        run: uid,
        step: 1,
        provider: 'own',
        model: 'm',
        inputTokens: 7,
        outputTokens: 2,
        status: 200,
      }),
    ])
  })

  it('streams byte for byte where the client asked for usage', async () => {
    const more = { stream: true, stream_options: { include_usage: true } }
    const { body, trailer, headers } = await complete('stream', { more })
    expect(body).toBe(sse(said('Grüße '), said('an '), said('alle'), closing, '[DONE]'))
    expect(trailer).toBe('{"input":11,"output":4}')
    expect(headers['request-id']).toBe('req-1')
  })

  it('asks for usage where the client did not, and keeps that from the client', async () => {
    const { body, trailer } = await complete('stream', { more: { stream: true } })
    expect(JSON.parse(upstream.received.at(-1)?.body ?? '')).toMatchObject({ stream_options: { include_usage: true } })
    expect(body).toBe(sse(said('Grüße '), said('an '), said('alle'), '[DONE]'))
    expect(trailer).toBe('{"input":11,"output":4}')
  })

  it('publishes the text with its step and offsets', async () => {
    const before = ledger.texts.length
    await complete('stream', { more: { stream: true } })
    const texts = ledger.texts.slice(before)
    expect(texts.map((t) => t.text).join('')).toBe('Grüße an alle')
    let offset = 0
    for (const { text, ...rest } of texts) {
      expect(rest).toEqual({ attempt: 1, step: 1, offset, kind: 'text', source: 'model' })
      offset += text.length
    }
  })

  it('reads a reply to its end when the client hangs up, so that it is not free', async () => {
    const token = gateway.token({ uid: 'uid-gone', provider: 'own', secretRef: 'own', models: ['m'] })
    const body = { model: 'm', stream: true, messages: [{ role: 'user', content: 'slow' }] }
    await expect(ask(gateway.url + chat, { token, body, onData: (hangUp) => hangUp() })).rejects.toThrow()
    await expect
      .poll(() => ledger.of('uid-gone'), { timeout: 5_000 })
      .toMatchObject([{ inputTokens: 11, outputTokens: 4 }])
    const texts = ledger.texts.filter((t) => /first|second/.test(t.text)).map((t) => t.text)
    expect(texts.join('')).toContain('first second')
  })

  it('cuts the connection where the provider broke off, and meters that it did', async () => {
    const token = gateway.token({ uid: 'uid-broken', provider: 'own', secretRef: 'own', models: ['m'] })
    const body = { model: 'm', stream: true, messages: [{ role: 'user', content: 'broken' }] }
    await expect(ask(gateway.url + chat, { token, body })).rejects.toThrow()
    expect(ledger.of('uid-broken')).toMatchObject([{ status: 200 }])
    expect(ledger.of('uid-broken')[0]).not.toHaveProperty('inputTokens')
  })

  it('answers a failure where a reply that does not stream broke off', async () => {
    const { uid, status, body } = await complete('torn')
    expect(status).toBe(502)
    expect(problem(body).message).toMatch(/^the provider at 127\.0\.0\.1:\d+ broke off/)
    expect(ledger.of(uid)).toMatchObject([{ status: 502 }])
  })

  it('does not follow a redirect', async () => {
    const { status, body, headers } = await complete('redirect')
    expect(status).toBe(502)
    expect(problem(body).message).toMatch(/redirect, which is not followed/)
    expect(headers).not.toHaveProperty('location')
  })

  it('does not pass on what it cannot meter', async () => {
    expect(await complete('gzip')).toMatchObject({ status: 502 })
  })

  it('passes on errors of the provider', async () => {
    const { uid, status, headers, body } = await complete('busy')
    expect({ status, retry: headers['retry-after'] }).toEqual({ status: 429, retry: '3' })
    expect(problem(body).message).toMatch(/^busy for \[redacted\], \[redacted\], \[redacted\]$/)
    expect(ledger.of(uid)).toMatchObject([{ status: 429 }])
  })

  it('names the Secret, not the key, where the provider refuses it', async () => {
    const { status, body, headers } = await complete('unauthorized')
    expect({ status, retry: headers['x-should-retry'] }).toEqual({ status: 401, retry: 'false' })
    expect(problem(body).message).toBe('the provider refused the credential in the Secret own')
  })

  it('says that the provider is not there, and that it is worth trying again', async () => {
    for (const [content, claims] of [
      ['hangup', {}],
      ['whole', { secretRef: 'nobody' }],
    ] as const) {
      const { uid, status, headers } = await complete(content, { claims })
      expect({ status, retry: headers['x-should-retry'] }).toEqual({ status: 502, retry: 'true' })
      expect(ledger.of(uid)).toMatchObject([{ status: 502 }])
    }
  })

  it('never writes a key to a log, an answer or the bus', async () => {
    const answers: string[] = []
    for (const content of Object.keys(manners)) {
      for (const secretRef of ['own', 'no-base', 'odd-base', 'nobody']) {
        const provider = secretRef === 'odd-base' ? 'openai' : 'own'
        const reply = await complete(content, { claims: { secretRef, provider } }).catch(() => undefined)
        if (reply) answers.push(JSON.stringify(reply))
      }
    }
    const seen = [...answers, ...gateway.logged, JSON.stringify(ledger.usages)].join('\n')
    expect(seen).toContain('model call')
    for (const part of ['SECRET', 'quoted', 'sk-test', Buffer.from(key).toString('base64')])
      expect(seen).not.toContain(part)
  })
})

describe('a refusal', () => {
  it.each([
    ['no token', { authorization: '' }, 401],
    ['a forged token', { authorization: 'Bearer a.b.c' }, 401],
    ['another scheme', { authorization: 'Basic eDp5' }, 401],
    ['no step', { 'x-k8sclaw-step': '' }, 400],
    ['a step that is none', { 'x-k8sclaw-step': '-1' }, 400],
    ['an encoded body', { 'content-encoding': 'gzip' }, 415],
  ])('answers %s', async (_, headers, status) => {
    const body = { model: 'demo', messages: [{ role: 'user', content: 'x' }] }
    expect(await ask(gateway.url + chat, { token: gateway.token(), body, headers })).toMatchObject({ status })
  })

  it('answers an expired token', async () => {
    expect(await complete('whole', { claims: { exp: 1 } })).toMatchObject({ status: 401 })
  })

  it.each<[string, Partial<RunClaims>, object, number, RegExp]>([
    ['a model that the run may not use', {}, { model: 'dear' }, 403, /may use m, demo, not dear/],
    ['a run without a Secret', { secretRef: undefined as never }, {}, 403, /names no Secret for the provider own/],
    ['a Secret that is not there', { secretRef: 'gone' }, {}, 403, /Secret gone does not exist/],
    [
      'a Secret of another namespace',
      { namespace: 'tenant-c' },
      {},
      403,
      /Secret own does not exist in namespace tenant-c/,
    ],
    ['a Secret without key', { provider: 'openai', secretRef: 'no-key' }, {}, 403, /no-key has no apiKey/],
    ['a Secret without address', { secretRef: 'no-base' }, {}, 403, /no-base has no baseURL/],
    ['a Secret with an odd address', { secretRef: 'odd-base' }, {}, 403, /baseURL in the Secret odd-base/],
    ['a key that no header can carry', { secretRef: 'odd-key' }, {}, 403, /apiKey in the Secret odd-key/],
    ['the other wire format', { provider: 'anthropic' }, {}, 400, /use ANTHROPIC_BASE_URL/],
    ['a tool that the provider runs', {}, { tools: [{ type: 'web_search' }] }, 403, /tools\[0\]\.type/],
    ['a stored response', {}, { store: true }, 403, /store/],
    ['another model of the demo provider', { provider: 'demo', secretRef: 'no-key' }, {}, 404, /has one model, demo/],
    [
      'a script that is none',
      { provider: 'demo', secretRef: 'bad-script' },
      { model: 'demo' },
      403,
      /bad-script .*steps\[0\]\.reply\.txt/,
    ],
  ])('answers %s in the shape of the provider, and asks nobody', async (_, claims, more, status, message) => {
    const asked = upstream.received.length
    const reply = await complete('whole', { claims, more })
    expect({ status: reply.status, retry: reply.headers['x-should-retry'] }).toEqual({ status, retry: 'false' })
    expect(problem(reply.body).message).toMatch(message)
    expect(upstream.received.length).toBe(asked)
  })

  it('has the shape of Anthropic where that was asked', async () => {
    const claims = { provider: 'anthropic', secretRef: 'claude' }
    const { status, body } = await complete('x', { claims, more: { mcp_servers: [] }, path: '/anthropic/v1/messages' })
    expect(status).toBe(403)
    expect(JSON.parse(body)).toEqual({
      type: 'error',
      error: { type: 'permission_error', message: 'mcp_servers: remote MCP servers are not let through' },
    })
  })

  it('answers a body that is too large before reading it', async () => {
    const body = `{"model":"demo","x":"${'x'.repeat(9 * 1024 * 1024)}"}`
    const reply = await ask(gateway.url + chat, { token: gateway.token(), body }).catch(() => ({ status: 413 }))
    expect(reply.status).toBe(413)
  })

  it('answers every path but the listed ones', async () => {
    const token = gateway.token()
    for (const path of [
      '/',
      '/openai/v1/responses',
      '/openai/v1/files',
      '/anthropic/v1/models',
      '/openai/v1/models/demo',
      '//openai/v1/models',
    ]) {
      expect(await ask(gateway.url + path, { token })).toMatchObject({ status: 404 })
    }
    expect(await ask(gateway.url + chat, { token })).toMatchObject({ status: 404 })
  })

  it('answers a run that has too many calls under way', async () => {
    const claims = { uid: 'uid-many', provider: 'demo', secretRef: 'slow-script' }
    const token = gateway.token(claims)
    const body = { model: 'demo', stream: true, messages: [{ role: 'user', content: 'x' }] }
    const hangUps: (() => void)[] = []
    const held = Array.from({ length: 16 }, () =>
      ask(gateway.url + chat, { token, body, onData: (hangUp) => hangUps.push(hangUp) }).catch(() => undefined),
    )
    await expect.poll(() => hangUps.length).toBe(16)
    const { status, headers } = await ask(gateway.url + chat, { token, body })
    expect({ status, retry: headers['x-should-retry'] }).toEqual({ status: 429, retry: 'true' })
    for (const hangUp of hangUps) hangUp()
    await Promise.all(held)
    await expect.poll(() => ledger.of('uid-many').length).toBe(16)
  })
})

describe('the demo model', () => {
  const tools = {
    exec: tool({
      description: 'Run a command',
      inputSchema: jsonSchema<{ script: string }>({ type: 'object', properties: { script: { type: 'string' } } }),
      execute: async () => ({ exitCode: 0, stdout: 'Linux\n2031\n' }),
    }),
  }
  const headers = { 'x-k8sclaw-step': '1' }
  const models = () => ({
    openai: createOpenAICompatible({
      name: 'k8sclaw',
      baseURL: `${gateway.url}/openai/v1`,
      apiKey: gateway.token(),
      headers,
    })('demo'),
    anthropic: createAnthropic({
      baseURL: `${gateway.url}/anthropic/v1`,
      apiKey: 'x',
      headers: { ...headers, authorization: `Bearer ${gateway.token()}` },
    })('demo'),
  })

  it.each(['openai', 'anthropic'] as const)(
    'answers an unmodified SDK over several steps with tools (%s)',
    async (format) => {
      const model = models()[format]
      const { text, steps, usage } = await generateText({
        model,
        tools,
        prompt: 'Which system?',
        stopWhen: stepCountIs(5),
        maxRetries: 0,
      })
      expect(steps.map((s) => s.toolCalls.map((c) => c.input))).toEqual([[{ script: 'uname -s; date -u +%Y' }], []])
      expect(text).toContain('Linux\n2031')
      expect(usage.inputTokens).toBeGreaterThan(0)
      expect(steps[0]?.response.modelId).toBe('demo')
    },
  )

  it.each(['openai', 'anthropic'] as const)('streams to an unmodified SDK (%s)', async (format) => {
    const result = streamText({
      model: models()[format],
      tools,
      prompt: 'Which system?',
      stopWhen: stepCountIs(5),
      maxRetries: 0,
    })
    const kinds: Record<string, number> = {}
    for await (const part of result.fullStream) kinds[part.type] = (kinds[part.type] ?? 0) + 1
    expect(kinds['text-delta']).toBeGreaterThan(10)
    expect(kinds).toMatchObject({ 'tool-call': 1, 'tool-result': 1 })
    expect(kinds).not.toHaveProperty('error')
    expect(await result.text).toContain('Linux')
  })

  it('is metered as any provider is', async () => {
    const { uid, trailer } = await complete('hi', {
      claims: { provider: 'demo', secretRef: undefined as never },
      more: { model: 'demo', stream: true },
    })
    const { input, output } = JSON.parse(trailer ?? '') as { input: number; output: number }
    expect(ledger.of(uid)).toMatchObject([
      { provider: 'demo', model: 'demo', inputTokens: input, outputTokens: output },
    ])
    expect(output).toBeGreaterThan(10)
  })

  it('counts tokens, which is no model call', async () => {
    const body = { model: 'demo', messages: [{ role: 'user', content: '12345678' }] }
    const token = gateway.token({ uid: 'uid-count' })
    const reply = await ask(`${gateway.url}/anthropic/v1/messages/count_tokens`, {
      token,
      body,
      headers: { 'x-k8sclaw-step': '' },
    })
    expect(JSON.parse(reply.body)).toEqual({ input_tokens: 2 })
    expect(ledger.of('uid-count')).toEqual([])
  })

  it('does not wait for a client that has gone', async () => {
    const token = gateway.token({ uid: 'uid-slow', secretRef: 'slow-script' })
    const body = { model: 'demo', stream: true, messages: [{ role: 'user', content: 'x' }] }
    await expect(ask(gateway.url + chat, { token, body, onData: (hangUp) => hangUp() })).rejects.toThrow()
    await expect.poll(() => ledger.of('uid-slow')).toMatchObject([{ outputTokens: 2 }])
  })

  it('lists the models of the run', async () => {
    const { body } = await ask(`${gateway.url}/openai/v1/models`, { token: gateway.token() })
    expect((JSON.parse(body) as { data: { id: string }[] }).data.map((m) => m.id)).toEqual(['demo'])
  })
})
