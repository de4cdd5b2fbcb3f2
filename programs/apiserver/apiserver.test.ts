import { once } from 'node:events'
import { request, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { type Bus, ensureRunConsumers, ensureStreams } from '#core/bus'
import type { RunAddress } from '#core/identity'
import { type Journal, type Outcome, openJournal, publishLive, type RunEvent, writeOutcome } from '#core/journal'
import { type AgentRun, agentRuns, type ClawInstance, clawInstances, type KubeObject } from '#core/kinds'
import { namespaces, roleBindings, roles, serviceAccounts } from '#core/kube'
import { createLogger } from '#core/telemetry'
import { startCluster, type TestCluster } from '../../test/support/cluster.ts'
import { startNats, type TestNats } from '../../test/support/nats.ts'
import { apiServer } from './server.ts'

const log = createLogger('test')
log.level = 'silent'
const limits = { pingMs: 200, stallMs: 300, reviewMs: 200, streams: 20, streamsOfUser: 4 }

let cluster: TestCluster
let nats: TestNats
let controller: Bus
let gateway: Bus
let stop: AbortController
let server: Server
let base: string
/** May do all with our kinds in `red`; may only list instances in `red`; may do all in `blue`. */
let red: string
let weak: string
let blue: string

beforeAll(async () => {
  ;[cluster, nats] = await Promise.all([startCluster(), startNats()])
  controller = await nats.connect({ kind: 'controller' })
  gateway = await nats.connect({ kind: 'gateway' })
  await ensureStreams(controller)
  for (const name of ['red', 'blue']) {
    await cluster.admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
    await cluster.admin.create<ClawInstance>(clawInstances, {
      apiVersion: 'k8sclaw.io/v1alpha1',
      kind: 'ClawInstance',
      metadata: { name: 'bot', namespace: name },
      spec: {
        agents: { default: { model: { provider: 'demo', name: 'demo' }, timeout: '10m' } },
        maxConcurrentRuns: 5,
      },
    })
  }
  red = await account('red', 'red', ['*'])
  weak = await account('red', 'weak', ['list'])
  blue = await account('blue', 'blue', ['*'])
})
afterAll(() => Promise.all([cluster?.close(), nats?.close()]))

beforeEach(async () => {
  stop = new AbortController()
  const kube = await cluster.as('k8sclaw-system', 'k8sclaw-apiserver')
  const bus = await nats.connect({ kind: 'apiserver' })
  server = apiServer({ kube, bus: () => bus, log, signal: stop.signal, limits })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(async () => {
  stop.abort()
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
})

/** A token of a service account that has these verbs on our kinds in that namespace. */
async function account(namespace: string, name: string, verbs: string[]): Promise<string> {
  const meta = { metadata: { name, namespace } }
  const apiVersion = 'rbac.authorization.k8s.io/v1'
  await cluster.admin.create(serviceAccounts, { apiVersion: 'v1', kind: 'ServiceAccount', ...meta })
  const rules = [{ apiGroups: ['k8sclaw.io'], resources: ['agentruns', 'clawinstances'], verbs }]
  await cluster.admin.create(roles, { apiVersion, kind: 'Role', ...meta, rules } as KubeObject)
  await cluster.admin.create(roleBindings, {
    apiVersion,
    kind: 'RoleBinding',
    ...meta,
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
    subjects: [{ kind: 'ServiceAccount', name, namespace }],
  } as KubeObject)
  return (await cluster.api.client.mintToken({ namespace, name })).token
}

interface Call {
  token?: string
  method?: string
  body?: unknown
  raw?: string
  headers?: Record<string, string>
}

async function call(path: string, { token = red, method = 'GET', body, raw, headers = {} }: Call = {}) {
  const content = raw ?? (body === undefined ? undefined : JSON.stringify(body))
  const response = await fetch(`${base}/api/v1/namespaces/${path}`, {
    method,
    headers: {
      ...(token && { authorization: `Bearer ${token}` }),
      ...(content !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(content !== undefined && { body: content }),
  })
  const text = await response.text()
  return {
    status: response.status,
    type: response.headers.get('content-type'),
    json: text ? JSON.parse(text) : undefined,
  }
}

/** A run in the cluster and on the bus, with its journal open. */
async function startRun(namespace = 'red'): Promise<{ name: string; run: RunAddress; journal: Journal; bridge: Bus }> {
  const { metadata } = await cluster.admin.create<AgentRun>(agentRuns, {
    apiVersion: 'k8sclaw.io/v1alpha1',
    kind: 'AgentRun',
    metadata: { generateName: 'run-', namespace },
    spec: { instanceRef: { name: 'bot' }, agent: 'default', task: 'do it' },
  })
  const run = { namespace, instance: 'bot', uid: metadata.uid ?? '' }
  await ensureRunConsumers(controller, run)
  const bridge = await nats.connect({ kind: 'bridge', run })
  return { name: metadata.name, run, bridge, journal: await openJournal(bridge, run, 1, { signal: stop.signal }) }
}

const at = '2026-01-01T00:00:00.000Z'
const outcomeOf = ({ uid }: RunAddress): Outcome => ({
  run: uid,
  attempt: 1,
  at,
  writer: 'bridge',
  phase: 'Succeeded',
  reason: 'Completed',
  result: 'Hello!',
  usage: { inputTokens: 1, outputTokens: 1, modelCalls: 1, toolCalls: 0 },
})

/** A run that has ended after one model call whose text streamed in two pieces. */
async function finishedRun() {
  const started = await startRun()
  const { run, journal, bridge } = started
  const model = { id: 'model-1', tool: 'model', inputHash: '0'.repeat(64), step: 1 }
  await journal.append({ kind: 'called', call: model, verdict: { action: 'allow', reason: 'models' } })
  for (const [offset, text] of [
    [0, 'Hel'],
    [3, 'lo!'],
  ] as const) {
    publishLive(gateway, run, { attempt: 1, step: 1, offset, kind: 'text', source: 'model', text })
  }
  await gateway.nats.flush()
  const answer = { ok: true, output: { text: 'Hello!' } } as const
  await journal.append({ kind: 'answered', callId: 'model-1', tool: 'model', answer, durationMs: 1 })
  await writeOutcome(bridge, run, outcomeOf(run))
  return started
}
const told = ['called', 'text Hel', 'text lo!', 'answered', 'outcome']
const words = (events: RunEvent[]) => events.map((e) => (e.type === 'text' ? `text ${e.data.text}` : e.type))

/** Reads server-sent events to their end. */
async function sse(path: string, headers: Record<string, string> = {}, token = red) {
  const response = await fetch(`${base}/api/v1/namespaces/${path}`, {
    headers: { authorization: `Bearer ${token}`, ...headers },
  })
  const text = await response.text()
  const events = text
    .split('\n\n')
    .filter((block) => block.startsWith('id: '))
    .map((block): RunEvent => {
      const [, id, type, data] = /^id: (.*)\nevent: (.*)\ndata: (.*)$/.exec(block) ?? []
      return { id, type, data: JSON.parse(data ?? 'null') } as RunEvent
    })
  return { status: response.status, text, events, headers: response.headers }
}

function openSocket(path: string, options: { token?: string; headers?: Record<string, string>; origin?: string } = {}) {
  const { token = red, headers = {}, origin } = options
  const socket = new WebSocket(`${base.replace('http', 'ws')}/api/v1/namespaces/${path}`, {
    headers: { ...(token && { authorization: `Bearer ${token}` }), ...headers },
    ...(origin !== undefined && { origin }),
  })
  const events: RunEvent[] = []
  socket.on('message', (data) => events.push(JSON.parse(String(data)) as RunEvent))
  const closed = new Promise<number>((resolve, reject) => {
    socket.on('close', resolve)
    socket.on('unexpected-response', (_, response) => {
      resolve(response.statusCode ?? 0)
      response.resume()
    })
    socket.on('error', reject)
  })
  return { socket, events, closed }
}

describe('whoever gives no token', () => {
  test('is refused everywhere but at the health of the server', async () => {
    for (const path of ['red/runs', 'red/runs/x/events', 'red/nothing', 'red/instances/bot']) {
      for (const method of ['GET', 'POST', 'DELETE', 'PUT']) {
        const { status, type, json } = await call(path, { token: '', method })
        expect([path, status, type]).toEqual([path, 401, 'application/problem+json'])
        expect(json.code).toBe('unauthenticated')
      }
    }
    expect(await openSocket('red/runs/x/stream', { token: '' }).closed).toBe(401)
    for (const path of ['/healthz', '/readyz']) expect((await fetch(base + path)).status).toBe(200)
  })

  test('or a token that nobody knows, is refused as well', async () => {
    const { name } = await startRun()
    for (const path of ['red/runs', `red/runs/${name}/events`]) {
      expect((await call(path, { token: 'nonsense' })).json).toMatchObject({ code: 'unauthenticated', status: 401 })
    }
    expect(await openSocket(`red/runs/${name}/stream`, { token: 'nonsense' }).closed).toBe(401)
  })
})

describe('kinds', () => {
  test('are listed and read with the rights of the caller', async () => {
    const listed = await call('red/instances')
    expect(listed.json.items).toMatchObject([{ kind: 'ClawInstance', metadata: { name: 'bot' } }])
    expect((await call('red/instances/bot')).json.spec.maxConcurrentRuns).toBe(5)
    expect((await call('red/instances', { token: weak })).status).toBe(200)
    expect((await call('red/instances/bot', { token: weak })).json).toMatchObject({ status: 403, code: 'forbidden' })
    expect((await call('red/instances', { token: blue })).status).toBe(403)
    expect((await call('red/instances/none')).json).toMatchObject({ status: 404, code: 'not_found' })
  })

  test('a run is created, cancelled once and for all, and deleted', async () => {
    const body = { instance: 'bot', task: 'say hello', timeout: '2m' }
    const created = await call('red/runs', { method: 'POST', body })
    expect(created.status).toBe(201)
    expect(created.json).toMatchObject({
      kind: 'AgentRun',
      metadata: { namespace: 'red', generateName: 'bot-' },
      spec: { instanceRef: { name: 'bot' }, agent: 'default', task: 'say hello', timeout: '2m' },
    })
    const path = `red/runs/${created.json.metadata.name}`
    expect((await call(path)).json.metadata.uid).toBe(created.json.metadata.uid)
    expect((await call(path, { method: 'PATCH', body: { cancel: true } })).json.spec.cancel).toBe(true)
    expect((await call(path, { method: 'PATCH', body: { cancel: false } })).json).toMatchObject({ field: 'cancel' })
    expect((await call(path, { method: 'PATCH', body: { cancel: true, task: 'x' } })).json).toMatchObject({
      code: 'invalid',
      field: 'task',
    })
    expect((await call(path, { method: 'DELETE' })).status).toBe(204)
    expect((await call(path)).status).toBe(404)
  })

  test('a caller without the right creates nothing', async () => {
    const body = { instance: 'bot', task: 'x' }
    for (const token of [weak, blue]) {
      expect((await call('red/runs', { method: 'POST', token, body })).json.code).toBe('forbidden')
    }
  })

  test('what is wrong with a body is said, with the field', async () => {
    const good = { instance: 'bot', task: 'x' }
    const cases: [unknown, number, string | undefined][] = [
      [{ ...good, tasks: 'x' }, 422, 'tasks'],
      [{ ...good, task: 7 }, 422, 'task'],
      [{ ...good, task: '' }, 422, 'task'],
      [{ ...good, task: 'a\0b' }, 422, 'task'],
      [{ ...good, task: 'x'.repeat(200_000) }, 422, 'task'],
      [{ ...good, model: { provider: 'demo', name: 'demo', thinking: 'high' } }, 422, 'model.thinking'],
      [{ ...good, timeout: 'soon' }, 422, 'timeout'],
      [{ task: 'x' }, 422, 'instance'],
      [[], 422, undefined],
      [null, 422, undefined],
    ]
    for (const [body, status, field] of cases) {
      const { json } = await call('red/runs', { method: 'POST', body })
      expect([body, json.status, json.field]).toEqual([body, status, field])
      if (field) expect(json.detail).toContain(field)
    }
  })

  test('what is no JSON, too long, or something else, is told apart', async () => {
    const post = { method: 'POST' }
    const broken = await call('red/runs', { ...post, raw: '{\n  "instance": "bot",\n  oops' })
    expect(broken.json).toMatchObject({ status: 400, code: 'malformed' })
    expect(broken.json.detail).toContain('line 3')
    const long = JSON.stringify({ instance: 'bot', task: 'x'.repeat(10_000_000) })
    expect((await call('red/runs', { ...post, raw: long })).json).toMatchObject({
      status: 413,
      code: 'too_large',
      field: 'task',
    })
    const yaml = { 'content-type': 'application/yaml' }
    expect((await call('red/runs', { ...post, raw: 'a: b', headers: yaml })).json.code).toBe('unsupported')
    expect((await call('red/runs', { ...post, raw: '' })).json.code).toMatch('malformed')
  })

  test('a name that is none never becomes part of a path', async () => {
    for (const path of ['red/runs/%2e%2e%2f%2e%2e', 'red/runs/..%2fx', 'red%2f../runs', 'RED/runs', 'red/runs/a%00b']) {
      expect((await call(path)).json.status).toBeGreaterThanOrEqual(404)
    }
  })
})

describe.each([
  [
    'server-sent events',
    async (path: string, after?: string) =>
      (await sse(`${path}/events`, after ? { 'last-event-id': after } : {})).events,
  ],
  [
    'a WebSocket',
    async (path: string, after?: string) => {
      const { events, closed } = openSocket(`${path}/stream${after ? `?after=${after}` : ''}`)
      expect(await closed).toBe(1000)
      return events
    },
  ],
])('a run followed by %s', (_, read) => {
  test('is told to its outcome, and resumed behind any event', async () => {
    const { name } = await finishedRun()
    const events = await read(`red/runs/${name}`)
    expect(words(events)).toEqual(told)
    for (const [index, event] of events.entries()) {
      expect(words(await read(`red/runs/${name}`, event.id))).toEqual(told.slice(index + 1))
    }
  })

  test('is followed while it happens', async () => {
    const { name, run, journal, bridge } = await startRun()
    const reading = read(`red/runs/${name}`)
    await journal.append({ kind: 'noted', code: 'x', message: 'one' })
    await journal.append({ kind: 'noted', code: 'x', message: 'two' })
    await writeOutcome(bridge, run, outcomeOf(run))
    expect(words(await reading)).toEqual(['status', 'status', 'outcome'])
  })
})

describe('a stream', () => {
  test('is read by nobody without the verb get on that run', async () => {
    const { name } = await finishedRun()
    for (const token of [weak, blue]) {
      expect((await call(`red/runs/${name}/events`, { token })).json).toMatchObject({ status: 403, code: 'forbidden' })
      expect(await openSocket(`red/runs/${name}/stream`, { token }).closed).toBe(403)
    }
    expect((await call(`blue/runs/${name}/events`, { token: blue })).status).toBe(404)
    expect(await openSocket('red/runs/none/stream').closed).toBe(404)
  })

  test('takes the token that came through the service proxy', async () => {
    const { name } = await finishedRun()
    const response = await fetch(`${base}/api/v1/namespaces/red/runs/${name}/events`, {
      headers: { 'x-k8sclaw-authorization': `Bearer ${red}` },
    })
    expect(response.status).toBe(200)
    await response.body?.cancel()
    const headers = { 'x-k8sclaw-authorization': `Bearer ${red}` }
    expect(await openSocket(`red/runs/${name}/stream`, { token: '', headers }).closed).toBe(1000)
  })

  test('refuses a cursor that is none, and tells a browser that has the outcome to stay away', async () => {
    const { name } = await finishedRun()
    const path = `red/runs/${name}/events`
    expect((await call(path, { headers: { 'last-event-id': 'x' } })).json).toMatchObject({
      status: 422,
      field: 'after',
    })
    const last = (await sse(path)).events.at(-1)
    expect((await sse(path, { 'last-event-id': last?.id ?? '' })).status).toBe(204)
  })

  test('opens for pages of this server and for no others', async () => {
    const { name } = await finishedRun()
    const path = `red/runs/${name}/stream`
    for (const origin of ['https://evil.example', 'null', `${base}.evil.example`]) {
      expect([origin, await openSocket(path, { origin }).closed]).toEqual([origin, 403])
    }
    expect(await openSocket(path, { origin: base }).closed).toBe(1000)
  })

  test('with nothing to say says that it lives', async () => {
    const { name, run, bridge } = await startRun()
    const reading = sse(`red/runs/${name}/events`)
    const { socket, closed } = openSocket(`red/runs/${name}/stream`)
    await once(socket, 'ping')
    await once(socket, 'ping')
    await writeOutcome(bridge, run, outcomeOf(run))
    expect((await reading).text.match(/^: ping$/gm)?.length).toBeGreaterThan(1)
    expect(await closed).toBe(1000)
  })

  test('ends when its run is deleted, or the right to read it is taken away', async () => {
    const deleted = await startRun()
    const gone = openSocket(`red/runs/${deleted.name}/stream`)
    await once(gone.socket, 'open')
    await cluster.admin.delete(agentRuns, { namespace: 'red', name: deleted.name })
    expect(await gone.closed).toBe(4404)

    const guest = await account('red', 'guest', ['get'])
    const kept = await startRun()
    const reader = openSocket(`red/runs/${kept.name}/stream`, { token: guest })
    await once(reader.socket, 'open')
    await cluster.admin.delete(roleBindings, { namespace: 'red', name: 'guest' })
    expect(await reader.closed).toBe(4403)
  })

  test('tells its clients when the replica stops', async () => {
    const { name } = await startRun()
    const { socket, closed } = openSocket(`red/runs/${name}/stream`)
    await once(socket, 'open')
    const reading = sse(`red/runs/${name}/events`)
    await expect.poll(() => new Promise<number>((resolve) => server.getConnections((_, n) => resolve(n)))).toBe(2)
    stop.abort()
    expect(await closed).toBe(1001)
    expect((await reading).events).toEqual([])
  })

  test('is limited in number for each user, and a place is free again when its client leaves', async () => {
    const { name } = await startRun()
    const held = Array.from({ length: limits.streamsOfUser }, () => openSocket(`red/runs/${name}/stream`))
    await Promise.all(held.map(({ socket }) => once(socket, 'open')))
    expect((await call(`red/runs/${name}/events`)).json).toMatchObject({ status: 429, code: 'too_many' })
    expect(await openSocket(`red/runs/${name}/stream`).closed).toBe(429)
    held[0]?.socket.terminate()
    await expect
      .poll(async () => {
        const next = openSocket(`red/runs/${name}/stream`)
        const opened = await Promise.race([once(next.socket, 'open').then(() => 101), next.closed])
        next.socket.terminate()
        return opened
      })
      .toBe(101)
  })

  test('cuts a client that takes nothing, which resumes where it was', async () => {
    const { name, run, journal, bridge } = await startRun()
    const { port } = server.address() as AddressInfo
    const socket = connect(port, '127.0.0.1')
    const path = `/api/v1/namespaces/red/runs/${name}/events`
    let read = ''
    socket.on('data', (chunk: Buffer) => {
      read += chunk.toString()
    })
    socket.on('error', () => {})
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${red}\r\n\r\n`)
    await expect.poll(() => read).toContain('ping')
    socket.pause()
    const output = 'x'.repeat(200_000)
    for (let n = 0; n < 80; n++) {
      await journal.append({
        kind: 'answered',
        callId: `c${n}`,
        tool: 'exec',
        answer: { ok: true, output },
        durationMs: 1,
      })
    }
    await writeOutcome(bridge, run, outcomeOf(run))
    // The server lets go of the connection although the client has not said a word.
    await expect
      .poll(() => new Promise<number>((resolve) => server.getConnections((_, n) => resolve(n))), { timeout: 10_000 })
      .toBe(0)
    socket.resume()
    await once(socket, 'close')
    const last = [...read.matchAll(/^id: (.*)$/gm)].at(-1)?.[1] ?? ''
    const complete = [...read.matchAll(/^event: answered\ndata: .*\n\n/gm)].length
    expect(complete).toBeLessThan(80)
    const rest = await sse(`red/runs/${name}/events`, last ? { 'last-event-id': last } : {})
    expect(rest.events.at(-1)?.type).toBe('outcome')
    expect(complete + rest.events.length - 1).toBeGreaterThanOrEqual(79)
  })

  test('survives a restart of the bus', async () => {
    const { name, run, journal, bridge } = await startRun()
    const { socket, events, closed } = openSocket(`red/runs/${name}/stream`)
    await once(socket, 'open')
    await journal.append({ kind: 'noted', code: 'x', message: 'before' })
    await expect.poll(() => words(events)).toEqual(['status'])
    await nats.restart()
    await journal.append({ kind: 'noted', code: 'x', message: 'after' })
    await writeOutcome(bridge, run, outcomeOf(run))
    expect(await closed).toBe(1000)
    expect(words(events)).toEqual(['status', 'status', 'outcome'])
  })
})

test('an upgrade to anything else is refused without harm', async () => {
  const upgrade = { connection: 'upgrade', upgrade: 'websocket', authorization: `Bearer ${red}` }
  for (const path of ['/', '/api/v1/namespaces/red/runs', '/api/v1/namespaces/red/runs/%2e%2e/stream', '//[', '/\\']) {
    const asked = request(base, { path, headers: upgrade })
    asked.end()
    const [response] = await once(asked, 'response')
    expect(response.statusCode).toBeGreaterThanOrEqual(400)
    response.resume()
  }
  expect((await fetch(`${base}/healthz`)).status).toBe(200)
})
