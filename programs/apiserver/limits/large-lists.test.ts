import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type AgentRun, agentRuns } from '#core/kinds'
import { freePort } from '../../../test/support/ports.ts'
import { type Served, startServed } from '../testing/served.test-support.ts'

const runs = 64
const each = 20
const path = '/api/v1/namespaces/red/runs'
const task = 'x'.repeat(128 * 1024)

let served: Served
let folder: string
let program: ChildProcess
let base: string
let metrics: string
const sockets: Socket[] = []

beforeAll(async () => {
  served = await startServed()
  for (let at = 0; at < runs; at++) {
    await served.cluster.admin.create<AgentRun>(agentRuns, {
      apiVersion: 'k8sclaw.io/v1alpha1',
      kind: 'AgentRun',
      metadata: { name: `run-${at}`, namespace: 'red' },
      spec: { instanceRef: { name: 'bot' }, agent: 'default', task },
    })
  }
  const { api } = served.cluster
  const { token } = await api.client.mintToken({ namespace: 'k8sclaw-system', name: 'k8sclaw-apiserver' })
  const ca = Buffer.from(api.caPem).toString('base64')
  folder = await mkdtemp(join(tmpdir(), 'k8sclaw-large-'))
  const kubeconfig = {
    ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'x' },
    clusters: [{ name: 'c', cluster: { server: api.url, 'certificate-authority-data': ca } }],
    users: [{ name: 'u', user: { token } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
  }
  await writeFile(join(folder, 'kubeconfig'), JSON.stringify(kubeconfig))
  await writeFile(join(folder, 'token'), 'none')
  const listen = `127.0.0.1:${await freePort()}`
  base = `http://${listen}`
  metrics = `127.0.0.1:${await freePort()}`
  const main = join(import.meta.dirname, '..', 'main.ts')
  program = spawn(process.execPath, ['--max-old-space-size=96', main], {
    env: {
      PATH: process.env.PATH ?? '',
      KUBECONFIG: join(folder, 'kubeconfig'),
      K8SCLAW_LISTEN: listen,
      K8SCLAW_METRICS_LISTEN: metrics,
      EVENT_BUS_URL: 'nats://127.0.0.1:1',
      K8SCLAW_IDENTITY_URL: 'http://127.0.0.1:1',
      K8SCLAW_TOKEN_FILE: join(folder, 'token'),
    },
    stdio: 'ignore',
  })
}, 120_000)
afterAll(async () => {
  for (const socket of sockets) socket.destroy()
  program?.kill('SIGKILL')
  await served?.close()
  if (folder) await rm(folder, { recursive: true })
})

interface Page {
  items: { metadata: { name: string } }[]
  continue?: string
}

async function list(token: string, more?: string): Promise<Page> {
  const query = new URLSearchParams({ limit: '500', ...(more && { continue: more }) })
  const response = await fetch(`${base}${path}?${query}`, { headers: { authorization: `Bearer ${token}` } })
  expect(response.status).toBe(200)
  return (await response.json()) as Page
}

/** Asks, and takes nothing of the answer. */
function askAlone(token: string): void {
  const { port } = new URL(base)
  const socket = connect(Number(port), '127.0.0.1').on('error', () => {})
  socket.pause()
  socket.write(`GET ${path}?limit=500 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\n\r\n`)
  sockets.push(socket)
}

/** What the program counts: answers by their status, and the bytes it has in memory. */
async function measured() {
  const text = await (await fetch(`http://${metrics}/metrics`)).text()
  const value = (name: string) =>
    Number(
      text
        .split('\n')
        .find((line) => line.startsWith(`${name} `))
        ?.split(' ')[1] ?? 0,
    )
  const answered = (status: number) =>
    value(`k8sclaw_http_requests_total{method="GET",route="/api/v1/namespaces/:ns/runs",status="${status}"}`)
  return { given: answered(200), refused: answered(429), bytes: value('process_resident_memory_bytes') }
}

test('many who ask for long lists, and do not take them, are not kept in memory', { timeout: 300_000 }, async () => {
  const lives = () =>
    fetch(`${base}/healthz`).then(
      ({ ok }) => ok,
      () => false,
    )
  await expect.poll(lives, { timeout: 60_000 }).toBe(true)
  const tokens = await Promise.all(['ann', 'bob', 'cid'].map((name) => served.account('red', name, ['*'])))
  // Once, so that what is loaded is loaded.
  await list(tokens[0] ?? '')
  const { bytes: before } = await measured()
  for (const token of tokens) for (let at = 0; at < each; at++) askAlone(token)
  let most = 0
  await expect
    .poll(
      async () => {
        const { given, refused, bytes } = await measured()
        most = Math.max(most, bytes)
        return given + refused
      },
      { timeout: 200_000, interval: 200 },
    )
    .toBe(1 + tokens.length * each)
  // Kept whole they are half a gigabyte, written once.
  expect(most - before).toBeLessThan(256 * 1024 * 1024)
  const names: string[] = []
  for (let more: string | undefined = ''; more !== undefined; ) {
    const page: Page = await list(tokens[0] ?? '', more)
    expect(page.items.length).toBeLessThan(runs)
    names.push(...page.items.map(({ metadata }) => metadata.name))
    more = page.continue
  }
  expect(names.sort()).toEqual(Array.from({ length: runs }, (_, at) => `run-${at}`).sort())
})
