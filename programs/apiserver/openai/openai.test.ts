import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Bus, ensureRunConsumers, ensureStreams } from '#core/bus'
import { openJournal, publishLive, writeOutcome } from '#core/journal'
import { type AgentRun, agentRuns, type ClawInstance, clawInstances, type KubeObject } from '#core/kinds'
import { namespaces, roleBindings, roles, serviceAccounts } from '#core/kube'
import { createLogger } from '#core/telemetry'
import { startCluster, type TestCluster } from '../../../test/support/cluster.ts'
import { startNats, type TestNats } from '../../../test/support/nats.ts'
import { apiServer } from '../server.ts'

const log = createLogger('test')
log.level = 'silent'
const limits = { pingMs: 100, stallMs: 300, reviewMs: 200, streams: 20, streamsOfUser: 2 }
const apiVersion = 'rbac.authorization.k8s.io/v1'

let cluster: TestCluster
let nats: TestNats
let controller: Bus
let gateway: Bus
let stop: AbortController
let server: Server
let bus: Bus | undefined
let url: string
let token: string

beforeAll(async () => {
  ;[cluster, nats] = await Promise.all([startCluster(), startNats()])
  controller = await nats.connect({ kind: 'controller' })
  gateway = await nats.connect({ kind: 'gateway' })
  await ensureStreams(controller)
  await cluster.admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'red' } })
  const model = { provider: 'demo', name: 'demo' }
  await cluster.admin.create<ClawInstance>(clawInstances, {
    ...{ apiVersion: 'k8sclaw.io/v1alpha1', kind: 'ClawInstance', metadata: { name: 'bot', namespace: 'red' } },
    spec: { agents: { default: { model, timeout: '10m' }, coder: { model, timeout: '10m' } }, maxConcurrentRuns: 5 },
  })
  const meta = { metadata: { name: 'user', namespace: 'red' } }
  await cluster.admin.create(serviceAccounts, { apiVersion: 'v1', kind: 'ServiceAccount', ...meta })
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'user' }
  const subjects = [{ kind: 'ServiceAccount', ...meta.metadata }]
  await cluster.admin.create(roleBindings, {
    apiVersion,
    kind: 'RoleBinding',
    ...meta,
    roleRef,
    subjects,
  } as KubeObject)
  token = (await cluster.api.client.mintToken({ namespace: 'red', name: 'user' })).token
})
afterAll(() => Promise.all([cluster?.close(), nats?.close()]))

beforeEach(async () => {
  const rules = [{ apiGroups: ['k8sclaw.io'], resources: ['agentruns', 'clawinstances'], verbs: ['*'] }]
  await cluster.admin.create(roles, {
    ...{ apiVersion, kind: 'Role', metadata: { name: 'user', namespace: 'red' } },
    ...{ rules },
  } as KubeObject)
  stop = new AbortController()
  bus = await nats.connect({ kind: 'apiserver' })
  const kube = await cluster.as('k8sclaw-system', 'k8sclaw-apiserver')
  server = apiServer({ kube, bus: () => bus, log, signal: stop.signal, limits })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
})
afterEach(async () => {
  stop.abort()
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
  await cluster.admin.delete(roles, { namespace: 'red', name: 'user' }).catch(() => {})
})

interface Answer {
  status: number
  headers: Headers
  /** Of a refusal. */
  error: { code: string; param: string | null; message: string }
  text: string
}

async function ask(path: string, init: RequestInit = {}): Promise<Answer> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...init.headers }
  const response = await fetch(url + path, { ...init, headers })
  const text = await response.text()
  const { error } = text.startsWith('{')
    ? (JSON.parse(text) as Answer)
    : { error: { code: '', param: '', message: '' } }
  return { status: response.status, headers: response.headers, error, text }
}
/** A completion that streams: its head is there once the run is followed. */
const begin = (headers: Record<string, string> = {}) =>
  fetch(`${url}/chat/completions`, {
    method: 'POST',
    body: JSON.stringify({ model: 'red/bot', messages: [{ role: 'user', content: 'Hello' }], stream: true }),
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
  })
const chat = (fields: object = {}, headers: Record<string, string> = {}) => {
  const body = JSON.stringify({ model: 'red/bot', messages: [{ role: 'user', content: 'Hello' }], ...fields })
  return ask('/chat/completions', { method: 'POST', body, headers })
}
/** The run that was made last, once it is there; the runs of other tests are gone. */
async function nextRun(): Promise<AgentRun> {
  await expect.poll(runs, { timeout: 10_000 }).toHaveLength(1)
  const [run] = await runs()
  if (!run) throw new Error('no run')
  return run
}
const runs = async () => (await cluster.admin.list<AgentRun>(agentRuns, { namespace: 'red' })).items
const isCancelled = async () => (await runs()).map(({ spec }) => spec.cancel ?? false)
afterEach(async () => {
  for (const { metadata } of await runs()) await cluster.admin.delete(agentRuns, metadata)
})

/** What the bridge and the gateway do for a run: here it says `Hel`, `lo!`, and stops before its end. */
async function speak({ metadata: { uid = '' } }: AgentRun) {
  const run = { namespace: 'red', instance: 'bot', uid }
  await ensureRunConsumers(controller, run)
  const bridge = await nats.connect({ kind: 'bridge', run })
  const journal = await openJournal(bridge, run, 1, { signal: stop.signal })
  const call = { id: 'model-1', tool: 'model', inputHash: '0'.repeat(64), step: 1 }
  await journal.append({ kind: 'called', call, verdict: { action: 'allow', reason: 'models' } })
  for (const [offset, text] of [
    [0, 'Hel'],
    [3, 'lo!'],
  ] as const) {
    publishLive(gateway, run, { attempt: 1, step: 1, offset, kind: 'text', source: 'model', text })
  }
  await gateway.nats.flush()
  return async (phase: 'Succeeded' | 'TimedOut') => {
    const at = '2026-01-01T00:00:00.000Z'
    const usage = { inputTokens: 2, outputTokens: 3, modelCalls: 1, toolCalls: 0 }
    const ended = { phase, reason: 'Completed', ...(phase === 'Succeeded' && { result: 'Hello!' }) }
    await writeOutcome(bridge, run, { run: uid, attempt: 1, at, writer: 'bridge', ...ended, usage })
  }
}

describe('a chat completion', () => {
  test('is streamed as the run speaks, with comments while it is silent', async () => {
    const answered = chat({ stream: true, stream_options: { include_usage: true } })
    const run = await nextRun()
    expect(run.spec).toMatchObject({ instanceRef: { name: 'bot' }, agent: 'default', task: 'Hello' })
    await (await speak(run))('Succeeded')
    const { text, headers } = await answered
    expect(headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    expect(headers.get('x-k8sclaw-run')).toBe(run.metadata.name)
    const lines = text.split('\n').filter((line) => line !== '')
    expect(lines[0]).toBe(': ping')
    const data = lines.filter((line) => line.startsWith('data: ')).map((line) => line.slice(6))
    expect(data.pop()).toBe('[DONE]')
    const pieces = data.map((piece) => JSON.parse(piece))
    expect(pieces.flatMap(({ choices }) => choices.map((c: { delta: object }) => c.delta))).toEqual([
      { role: 'assistant', content: '' },
      { content: 'Hel' },
      { content: 'lo!' },
      {},
    ])
    expect(pieces.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: 5 } })
    expect(new Set(pieces.map(({ id, model }) => `${id} ${model}`))).toEqual(
      new Set([`chatcmpl-${run.metadata.uid} red/bot`]),
    )
  })

  test('asked for again by its key is the answer of the same run, which goes on meanwhile', async () => {
    const key = { 'idempotency-key': 'once' }
    await (await begin(key)).body?.cancel()
    const run = await nextRun()
    await (await speak(run))('Succeeded')
    const again = await chat({ stream: true }, key)
    expect(again.headers.get('x-k8sclaw-run')).toBe(run.metadata.name)
    expect(again.text).toContain('"content":"Hel')
    expect(again.text).toContain('[DONE]')
    expect(JSON.parse((await chat({}, key)).text)).toMatchObject({ choices: [{ message: { content: 'Hello!' } }] })
    expect(await isCancelled()).toEqual([false])
    const other = await chat({ messages: [{ role: 'user', content: 'Something else' }] }, key)
    expect(other).toMatchObject({ status: 409, error: { code: 'already_exists', param: 'idempotency-key' } })
  })

  test('of a run that took too long is refused, by the name of the run, and not worth another try', async () => {
    const answered = chat({ model: 'red/bot/coder' })
    const run = await nextRun()
    expect(run.spec.agent).toBe('coder')
    await (await speak(run))('TimedOut')
    const { status, error, headers } = await answered
    expect({ status, code: error.code }).toEqual({ status: 504, code: 'run_timed_out' })
    expect(error.message).toContain(run.metadata.name)
    expect(headers.get('x-should-retry')).toBe('false')
  })

  test('ends with its server, and the run goes on', async () => {
    const { body } = await begin()
    const run = await nextRun()
    await speak(run)
    let text = ''
    for await (const chunk of body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += chunk
      if (text.includes('lo!')) stop.abort()
    }
    expect(text).toContain(`{"error":{"message":"this server stops; the run ${run.metadata.name} goes on without it"`)
    expect(text).not.toContain('[DONE]')
    expect(await isCancelled()).toEqual([false])
  })

  test('ends with the right to read the run', async () => {
    const answered = chat()
    await speak(await nextRun())
    await cluster.admin.delete(roles, { namespace: 'red', name: 'user' })
    expect(await answered).toMatchObject({ status: 403, error: { code: 'forbidden' } })
  })

  test('without a bus, or beyond the streams of a user, makes no run that nobody could follow', async () => {
    bus = undefined
    expect(await chat()).toMatchObject({ status: 503, error: { code: 'unavailable' } })
    expect(await runs()).toEqual([])
    bus = await nats.connect({ kind: 'apiserver' })
    const open = [await begin(), await begin()]
    expect(await chat()).toMatchObject({ status: 429, error: { code: 'rate_limit_exceeded' } })
    expect(await isCancelled()).toEqual([false, false])
    for (const { body } of open) await body?.cancel()
    await expect.poll(isCancelled, { timeout: 10_000 }).toEqual([true, true])
  })
})

/** From here on the caller may read instances, and do this with runs. */
async function mayDo(verbs: string[]): Promise<void> {
  const { metadata } = await cluster.admin.get(roles, { namespace: 'red', name: 'user' })
  const rules = [
    { apiGroups: ['k8sclaw.io'], resources: ['clawinstances'], verbs: ['get'] },
    { apiGroups: ['k8sclaw.io'], resources: ['agentruns'], verbs },
  ]
  await cluster.admin.update(roles, { apiVersion, kind: 'Role', metadata, rules } as KubeObject)
}

describe('who may not do everything with runs', () => {
  test('makes none without the right to read it, nor one without the right to make it, and keeps no place', async () => {
    for (const verbs of [['create'], ['create', 'list', 'watch', 'patch'], ['get', 'patch']]) {
      await mayDo(verbs)
      for (let i = 0; i <= limits.streamsOfUser; i++) {
        expect(await chat()).toMatchObject({ status: 403, error: { code: 'forbidden' } })
      }
      expect(await runs()).toEqual([])
    }
    await mayDo(['create'])
    expect((await chat()).error.message).toBe('this needs the verb get on agentruns.k8sclaw.io in red')
    expect((await chat({}, { 'idempotency-key': 'blind' })).status).toBe(403)
    expect(await runs()).toEqual([])
  })

  test('is told that the run goes on without the right to cancel it, and refused where that is wanted', async () => {
    await mayDo(['create', 'get'])
    const wanted = await begin({ 'x-k8sclaw-when-left': 'cancel' })
    expect([wanted.status, ((await wanted.json()) as Answer).error.message]).toEqual([
      ...[403, 'this needs the verb patch on agentruns.k8sclaw.io in red'],
    ])
    expect(await runs()).toEqual([])
    const { headers, body } = await begin()
    expect(headers.get('x-k8sclaw-when-left')).toBe('continue')
    await body?.cancel()
    const run = await nextRun()
    await (await speak(run))('Succeeded')
    expect(await isCancelled()).toEqual([false])
  })

  test('is told what becomes of the run otherwise, too', async () => {
    for (const [asked, told] of [
      [{}, 'cancel'],
      [{ 'x-k8sclaw-when-left': 'continue' }, 'continue'],
      [{ 'idempotency-key': 'told' }, 'continue'],
    ] as const) {
      const saying = async () => {
        const { headers, body } = await begin(asked)
        await body?.cancel()
        return headers.get('x-k8sclaw-when-left')
      }
      // The places of those before are given back a moment after they left.
      await expect.poll(saying, { timeout: 10_000 }).toBe(told)
    }
  })
})

describe('what is no chat completion', () => {
  test('is refused in the shape that clients of OpenAI read', async () => {
    const post = (body: string, headers = {}) => ask('/chat/completions', { method: 'POST', body, headers })
    expect(await post('{"model"')).toMatchObject({ status: 400, error: { code: 'malformed', param: null } })
    expect(await post('x=1', { 'content-type': 'text/plain' })).toMatchObject({ status: 415 })
    expect(await chat({ frequency: 1 })).toMatchObject({ status: 400, error: { code: 'invalid', param: 'frequency' } })
    const image = { type: 'image_url', image_url: { url: 'https://example.org/x.png' } }
    expect((await chat({ messages: [{ role: 'user', content: [image] }] })).error).toEqual({
      message: 'messages.0.content.0.type: only text is understood: no images, sound or files',
      type: 'invalid_request_error',
      param: 'messages[0].content[0].type',
      code: 'invalid',
    })
    const when = { 'x-k8sclaw-when-left': 'perhaps' }
    expect(await chat({}, when)).toMatchObject({ status: 400, error: { param: 'x-k8sclaw-when-left' } })
    const session = { 'x-k8sclaw-session': 'x'.repeat(257) }
    expect(await chat({}, session)).toMatchObject({ status: 400, error: { param: 'x-k8sclaw-session' } })
    expect(await ask('/embeddings', { method: 'POST', body: '{}' })).toMatchObject({
      ...{ status: 404, error: { code: 'not_found' } },
    })
    expect(await runs()).toEqual([])
  })

  test('is refused without a token that somebody has', async () => {
    for (const authorization of ['', 'Bearer nonsense']) {
      const refused = await ask('/models', { headers: { authorization } })
      expect(refused).toMatchObject({ status: 401, error: { code: 'invalid_api_key' } })
      expect(refused.headers.get('www-authenticate')).toBe('Bearer')
    }
    const proxied = { authorization: '', 'x-k8sclaw-authorization': `Bearer ${token}` }
    expect((await ask('/models?namespace=red', { headers: proxied })).status).toBe(200)
  })
})

test('every agent of an instance is a model, found by its name however that is written', async () => {
  const listed = JSON.parse((await ask('/models')).text) as { data: { id: string; created: number }[] }
  expect(listed.data.map(({ id }) => id)).toEqual(['red/bot', 'red/bot/coder'])
  expect(listed.data[0]?.created).toBeGreaterThan(0)
  for (const name of ['red/bot/coder', 'red%2Fbot%2Fcoder']) {
    expect(JSON.parse((await ask(`/models/${name}`)).text)).toMatchObject({ id: 'red/bot/coder', owned_by: 'red' })
  }
  expect(await ask('/models/red/none')).toMatchObject({ status: 404, error: { code: 'model_not_found' } })
  expect(await ask('/models?namespace=blue')).toMatchObject({ status: 403, error: { code: 'forbidden' } })
  expect(await ask('/models?color=red')).toMatchObject({ status: 400, error: { param: 'color' } })
})
