import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { createServer as createSecureServer, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { issueAuthority, issueCertificate } from '../access/certificates.ts'
import { ApiError, type LogOptions, resources } from '../index.ts'
import { startTestApi, type TestApi } from '../testing.ts'

let server: TestApi
let backend: Server
let sockets: WebSocketServer
/** Speaks TLS under a name that nobody calls it by. */
let secure: Server
let secureSockets: WebSocketServer
const logCalls: { container: string; options: LogOptions }[] = []
let logsEnded = 0

beforeAll(async () => {
  server = await startTestApi()
  backend = createServer((incoming, response) => {
    if (incoming.url === '/events') {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' })
      response.write('data: one\n\n')
      setTimeout(() => response.end('data: two\n\n'), 50)
      return
    }
    let body = ''
    incoming.on('data', (chunk) => {
      body += String(chunk)
    })
    incoming.on('end', () => {
      response.writeHead(207, { 'X-Backend': 'yes', 'Content-Type': 'application/json' })
      response.end(JSON.stringify({ method: incoming.method, url: incoming.url, headers: incoming.headers, body }))
    })
  })
  sockets = new WebSocketServer({ server: backend })
  sockets.on('connection', (socket, incoming) => {
    socket.send(`hello ${incoming.url} ${incoming.headers.authorization ?? 'without token'}`)
    socket.on('message', (data: Buffer) => socket.send(`echo ${data.toString()}`))
  })
  await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve))
  const { port } = backend.address() as AddressInfo
  secure = createSecureServer(await issueCertificate(await issueAuthority(), ['elsewhere']), (_, response) =>
    response.end('sealed'),
  )
  secureSockets = new WebSocketServer({ server: secure })
  secureSockets.on('connection', (socket, incoming) => socket.send(`sealed ${incoming.url}`))
  await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve))
  const { port: securePort } = secure.address() as AddressInfo
  server.api.setNodeHooks({
    async *logs(_namespace, pod, container, options, signal) {
      if (pod === 'waiting') throw new ApiError(400, 'BadRequest', `container "${container}" is waiting to start`)
      logCalls.push({ container, options })
      yield Buffer.from('first\n')
      if (options.follow) await new Promise((resolve) => signal.addEventListener('abort', resolve))
      else yield Buffer.from('last\n')
      logsEnded++
    },
    resolveService(namespace, name, wanted) {
      if (namespace !== 'default') return undefined
      if (name === 'web' && ['http', '80', ''].includes(wanted)) return { host: '127.0.0.1', port }
      if (name === 'safe' && ['https', '443'].includes(wanted)) return { host: '127.0.0.1', port: securePort }
      return undefined
    },
  })
  for (const name of ['one', 'waiting']) {
    await server.api.client.create(resources.pods, {
      metadata: { name, namespace: 'default' },
      spec: { containers: [{ name: 'main', image: 'x' }] },
    })
  }
  await server.api.client.create(resources.pods, {
    metadata: { name: 'two', namespace: 'default' },
    spec: {
      initContainers: [{ name: 'side', image: 'x', restartPolicy: 'Always' }],
      containers: ['main', 'other'].map((name) => ({ name, image: 'x' })),
    },
  })
})
afterAll(async () => {
  for (const each of [sockets, secureSockets]) each.close()
  for (const each of [backend, secure]) {
    each.closeAllConnections()
    each.close()
  }
  await server.close()
})

const proxy = '/api/v1/namespaces/default/services/web:http/proxy'

describe('the service proxy', () => {
  test('passes method, path, query, body and status, and keeps the token to itself', async () => {
    const answer = await server.http(`${proxy}/a%2Fb/c?x=1&y=2`, {
      method: 'POST',
      body: 'payload',
      headers: { 'X-Mine': 'yes', 'Impersonate-User': 'somebody', 'Impersonate-Group': 'system:masters' },
    })
    expect(answer.status).toBe(207)
    expect(answer.headers['x-backend']).toBe('yes')
    expect(answer.json).toMatchObject({ method: 'POST', url: '/a%2Fb/c?x=1&y=2', body: 'payload' })
    const headers = answer.json.headers as Record<string, string>
    expect(headers['x-mine']).toBe('yes')
    expect(Object.keys(headers).filter((name) => /authorization|impersonate/.test(name))).toEqual([])
  })

  test.each(['web', 'web:80', 'http:web:http', 'http:web:'])('finds %s', async (id) => {
    expect((await server.http(`/api/v1/namespaces/default/services/${id}/proxy`)).status).toBe(207)
  })

  test('says so when nobody is behind the service', async () => {
    const answer = await server.http('/api/v1/namespaces/default/services/gone:80/proxy/')
    expect(answer).toMatchObject({ status: 503, json: { message: 'no endpoints available for service "gone:80"' } })
  })

  test('speaks TLS where the prefix asks for it, and leaves the certificate to the service', async () => {
    const at = (id: string) => `/api/v1/namespaces/default/services/${id}/proxy/`
    expect(await server.http(at('https:safe:https'))).toMatchObject({ status: 200, text: 'sealed' })
    expect((await server.http(at('https:safe:http'))).json).toMatchObject({
      code: 503,
      message: 'no endpoints available for service "https:safe:http"',
    })
    for (const wrong of ['http:safe:443', 'https:web:80']) {
      const answer = await server.http(at(wrong))
      expect(answer.json).toMatchObject({ kind: 'Status', code: 503, reason: 'ServiceUnavailable' })
      expect(answer.headers['content-type']).toMatch(/^application\/json/)
    }
    const socket = connect(`${at('https:safe:443')}live`)
    const [message] = (await once(socket, 'message')) as [Buffer]
    expect(message.toString()).toBe('sealed /live')
    socket.close()
  })

  test('streams', async () => {
    const chunks = await new Promise<string[]>((resolve, reject) => {
      const seen: string[] = []
      const headers = { Authorization: `Bearer ${server.api.adminToken}` }
      const outgoing = request(`${server.api.url}${proxy}/events`, { headers, ca: server.api.caPem }, (response) => {
        response.on('data', (chunk: Buffer) => seen.push(chunk.toString())).on('end', () => resolve(seen))
      })
      outgoing.on('error', reject).end()
    })
    expect(chunks).toEqual(['data: one\n\n', 'data: two\n\n'])
  })

  const connect = (path: string, token = server.api.adminToken): WebSocket =>
    new WebSocket(`${server.api.url.replace('https', 'wss')}${path}`, {
      ca: server.api.caPem,
      headers: { Authorization: `Bearer ${token}` },
    })

  test('carries WebSockets', async () => {
    const socket = connect(`${proxy}/live?after=3`)
    const messages: string[] = []
    socket.on('message', (data: Buffer) => messages.push(data.toString()))
    socket.on('open', () => socket.send('there'))
    await vi.waitFor(() => expect(messages).toEqual(['hello /live?after=3 without token', 'echo there']))
    socket.close()
    await vi.waitFor(() => expect(sockets.clients.size).toBe(0))
  })

  test('ends WebSockets with the server', async () => {
    const other = await startTestApi()
    const { port } = backend.address() as AddressInfo
    other.api.setNodeHooks({ async *logs() {}, resolveService: () => ({ host: '127.0.0.1', port }) })
    const socket = new WebSocket(`${other.api.url.replace('https', 'wss')}${proxy}/live`, {
      ca: other.api.caPem,
      headers: { Authorization: `Bearer ${other.api.adminToken}` },
    })
    socket.on('error', () => undefined)
    const ended = new Promise((resolve) => socket.on('close', resolve))
    await new Promise((resolve) => socket.on('open', resolve))
    await other.close()
    await ended
  })

  test('refuses WebSockets to those who may not, and to other paths', async () => {
    const refusal = (socket: WebSocket) =>
      new Promise<number | undefined>((resolve) => {
        socket.on('unexpected-response', (_request, response) => resolve(response.statusCode))
      })
    const bad = connect(proxy, 'wrong')
    bad.on('error', () => undefined)
    expect(await refusal(bad)).toBe(401)
    const elsewhere = connect('/api/v1/namespaces/default/pods/one/exec')
    elsewhere.on('error', () => undefined)
    expect(await refusal(elsewhere)).toBe(400)
  })
})

describe('pod logs', () => {
  const path = (pod: string, query = '') => `/api/v1/namespaces/default/pods/${pod}/log${query}`

  test('come from the node, with the options it was given', async () => {
    const answer = await server.http(path('one', '?tailLines=5&timestamps=true&limitBytes=100&previous=true'))
    expect([answer.status, answer.text]).toEqual([200, 'first\nlast\n'])
    expect(logCalls.at(-1)).toEqual({
      container: 'main',
      options: { tailLines: 5, timestamps: true, limitBytes: 100, previous: true },
    })
  })

  test('of a pod with several containers need the name of one', async () => {
    const answer = await server.http(path('two'))
    expect(answer.json.message).toBe(
      'a container name must be specified for pod two, choose one of: [main other] or one of the init containers: [side]',
    )
    expect((await server.http(path('two', '?container=side'))).status).toBe(200)
    expect((await server.http(path('two', '?container=none'))).status).toBe(400)
  })

  test('that the node cannot give yet are its refusal', async () => {
    const answer = await server.http(path('waiting'))
    expect(answer).toMatchObject({ status: 400, json: { message: 'container "main" is waiting to start' } })
    expect((await server.http(path('one', '?tailLines=many'))).status).toBe(400)
    expect((await server.http(path('missing'))).status).toBe(404)
  })

  test('that are followed end at the node when the reader leaves', async () => {
    const before = logsEnded
    const headers = { Authorization: `Bearer ${server.api.adminToken}` }
    await new Promise<void>((resolve) => {
      const outgoing = request(`${server.api.url}${path('one', '?follow=true')}`, { headers, ca: server.api.caPem })
      outgoing.on('error', () => undefined)
      outgoing.on('response', (response) => {
        response.on('data', () => {
          outgoing.destroy()
          resolve()
        })
        response.on('error', () => undefined)
      })
      outgoing.end()
    })
    await vi.waitFor(() => expect(logsEnded).toBe(before + 1))
  })
})
