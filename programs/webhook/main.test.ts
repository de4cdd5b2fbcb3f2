import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { issueCertificate } from './issue.ts'

interface Stored {
  metadata: { name: string; namespace?: string; resourceVersion?: string }
  data?: Record<string, string>
  webhooks?: { name: string; clientConfig: { caBundle?: string } }[]
}

const secretPath = '/api/v1/namespaces/k8sclaw-system/secrets'
const configurationPath = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations'
const name = 'k8sclaw-webhook.k8sclaw-system.svc'

let home: string
let api: Server
let objects: Map<string, Stored>
let writes: string[]
let watchers: Set<ServerResponse>
let version: number
let children: ChildProcess[]

/** As much of a Kubernetes API server as this program asks: it keeps objects, tells of changes, and refuses stale writes. */
async function answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(incoming.url ?? '', 'http://x')
  const body = JSON.parse((await text(incoming)) || 'null')
  const key = incoming.method === 'POST' ? `${url.pathname}/${body?.metadata?.name}` : url.pathname
  const found = objects.get(key)
  const status = (code: number, reason: string) => {
    response.writeHead(code, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ kind: 'Status', code, reason, message: reason }))
  }
  const reply = (value: unknown) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(value))
  }
  if (incoming.method !== 'GET') writes.push(`${incoming.method} ${key}`)
  if (url.searchParams.has('watch')) {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.flushHeaders()
    watchers.add(response)
  } else if (incoming.method === 'GET' && url.pathname === configurationPath) {
    const items = [...objects].flatMap(([path, object]) => (path.startsWith(`${configurationPath}/`) ? [object] : []))
    reply({ metadata: { resourceVersion: String(version) }, items })
  } else if (incoming.method === 'POST') {
    if (found) status(409, 'AlreadyExists')
    else reply(store(key, body))
  } else if (!found) status(404, 'NotFound')
  else if (incoming.method === 'GET') reply(found)
  else if (incoming.method === 'PUT') {
    if (body.metadata.resourceVersion !== found.metadata.resourceVersion) status(409, 'Conflict')
    else reply(store(key, body))
  } else {
    const changed = structuredClone(found)
    for (const { op, path, value } of body as { op: string; path: string; value: string }[]) {
      const [, index, field] = path.match(/^\/webhooks\/(\d+)\/(name|clientConfig\/caBundle)$/) ?? []
      const webhook = changed.webhooks?.[Number(index)]
      if (!webhook || (op === 'test' && (field !== 'name' || webhook.name !== value))) return status(422, 'Invalid')
      if (op === 'add') webhook.clientConfig.caBundle = value
    }
    reply(store(key, changed))
  }
}

function store(key: string, object: Stored): Stored {
  const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(++version) } }
  const type = objects.has(key) ? 'MODIFIED' : 'ADDED'
  objects.set(key, stored)
  if (key.startsWith(configurationPath))
    for (const watcher of watchers) watcher.write(`${JSON.stringify({ type, object: stored })}\n`)
  return stored
}

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'k8sclaw-webhook-'))
  objects = new Map()
  writes = []
  watchers = new Set()
  version = 1
  children = []
  api = createServer((incoming, response) => void answer(incoming, response))
  await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve))
  const server = `http://127.0.0.1:${(api.address() as AddressInfo).port}`
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster: { server } }],
    users: [{ name: 'u', user: { token: 't' } }],
  }
  writeFileSync(join(home, 'kubeconfig'), JSON.stringify(config))
})
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL')
  api.closeAllConnections()
  await new Promise((resolve) => api.close(resolve))
  rmSync(home, { recursive: true })
})

async function freePort(): Promise<number> {
  const server = createTcpServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

function start(env: NodeJS.ProcessEnv): {
  child: ChildProcess
  ended: Promise<{ code: number | null; output: string }>
} {
  const child = spawn(process.execPath, ['programs/webhook/main.ts'], {
    env: { PATH: process.env.PATH, KUBECONFIG: join(home, 'kubeconfig'), K8SCLAW_ISOLATION: 'bubblewrap', ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  children.push(child)
  let output = ''
  child.stderr?.on('data', (data) => {
    output += String(data)
  })
  return { child, ended: new Promise((resolve) => child.on('close', (code) => resolve({ code, output }))) }
}

/** Calls as the API server does: by the service's name, trusting what the configuration holds. */
async function call(port: number, method: string, path: string, body?: unknown): Promise<number | string> {
  const bundle = objects.get(`${configurationPath}/k8sclaw-webhook`)?.webhooks?.[0]?.clientConfig.caBundle ?? ''
  const ca = Buffer.from(bundle, 'base64').toString()
  return await new Promise((resolve) => {
    const sent = request({ host: '127.0.0.1', port, servername: name, ca, method, path, agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    sent.on('error', (error) => resolve(error.message))
    sent.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

const configuration = (): Stored => ({
  metadata: { name: 'k8sclaw-webhook' },
  webhooks: ['agentruns', 'clawpolicies'].map((plural) => ({ name: `${plural}.k8sclaw.io`, clientConfig: {} })),
})
const bundles = () =>
  objects.get(`${configurationPath}/k8sclaw-webhook`)?.webhooks?.map((w) => w.clientConfig.caBundle ?? '')

test('two replicas agree on one certificate, are ready once the API server trusts it, and stop when told to', async () => {
  const ports = [await freePort(), await freePort()]
  const replicas = ports.map((port) => start({ K8SCLAW_LISTEN: `127.0.0.1:${port}` }))
  await expect.poll(() => objects.get(`${secretPath}/k8sclaw-webhook-cert`), { timeout: 15_000 }).toBeDefined()
  store(`${configurationPath}/k8sclaw-webhook`, configuration())
  for (const port of ports) await expect.poll(() => call(port, 'GET', '/readyz'), { timeout: 15_000 }).toBe(200)

  expect(new Set(bundles())).toEqual(new Set([objects.get(`${secretPath}/k8sclaw-webhook-cert`)?.data?.['ca.crt']]))
  const review = {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: { uid: 'u', operation: 'DELETE' },
  }
  expect(await call(ports[0] ?? 0, 'POST', '/validate/agentruns', review)).toBe(200)
  expect(await call(ports[1] ?? 0, 'POST', '/validate/agentruns', 'nonsense')).toBe(400)

  // The manifests are applied again, and what was injected is gone with them.
  const before = writes.length
  store(`${configurationPath}/k8sclaw-webhook`, configuration())
  await expect.poll(() => bundles()?.every((b) => b !== ''), { timeout: 15_000 }).toBe(true)
  expect(writes.slice(before).every((w) => w === `PATCH ${configurationPath}/k8sclaw-webhook`)).toBe(true)

  for (const { child } of replicas) child.kill('SIGTERM')
  for (const { ended } of replicas) expect((await ended).code).toBe(0)
})

test('a certificate that has expired is replaced, and is not trusted any longer', async () => {
  const old = await issueCertificate([name], new Date('2020-01-01'))
  const base64 = (pem: string) => Buffer.from(pem).toString('base64')
  const data = { 'ca.crt': base64(old.authority), 'tls.crt': base64(old.chain), 'tls.key': base64(old.key) }
  const metadata = { name: 'k8sclaw-webhook-cert', namespace: 'k8sclaw-system' }
  store(`${secretPath}/k8sclaw-webhook-cert`, { metadata, data })
  store(`${configurationPath}/k8sclaw-webhook`, configuration())
  const port = await freePort()
  start({ K8SCLAW_LISTEN: `127.0.0.1:${port}` })
  await expect.poll(() => call(port, 'GET', '/readyz'), { timeout: 15_000 }).toBe(200)
  expect(bundles()?.some((bundle) => bundle.includes(base64(old.authority)))).toBe(false)
})

test.each([
  [{ K8SCLAW_ISOLATION: 'maybe' }, /^k8sclaw-webhook: the environment variable K8SCLAW_ISOLATION is not usable: .*\n$/],
  [
    { K8SCLAW_LISTEN: 'everywhere' },
    /^k8sclaw-webhook: the environment variable K8SCLAW_LISTEN is not usable: must be host:port\n$/,
  ],
])('%j is one clear sentence and exit 2', async (env, sentence) => {
  const { code, output } = await start(env).ended
  expect(code).toBe(2)
  expect(output).toMatch(sentence)
})
