import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type AgentRun, agentRuns } from '#core/kinds'
import { startCluster, type TestCluster } from '../../test/support/cluster.ts'
import { freePort } from '../../test/support/ports.ts'
import { bundles, call, install, secretText, systemNamespace } from './testing.ts'

const patience = { timeout: 20_000 }

let home: string
let cluster: TestCluster | undefined
let children: ChildProcess[]
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'k8sclaw-webhook-'))
  children = []
})
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL')
  await cluster?.close()
  cluster = undefined
  rmSync(home, { recursive: true })
})

/** A kubeconfig of the webhook's own account. */
async function kubeconfig({ api }: TestCluster): Promise<string> {
  const { token } = await api.client.mintToken({ namespace: systemNamespace, name: 'k8sclaw-webhook' })
  const authority = Buffer.from(api.caPem).toString('base64')
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster: { server: api.url, 'certificate-authority-data': authority } }],
    users: [{ name: 'u', user: { token } }],
  }
  const file = join(home, 'kubeconfig')
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 })
  return file
}

function start(env: NodeJS.ProcessEnv) {
  const { PATH, NODE_COMPILE_CACHE } = process.env
  const child = spawn(process.execPath, ['programs/webhook/main.ts'], {
    env: { PATH, NODE_COMPILE_CACHE, K8SCLAW_ISOLATION: 'bubblewrap', ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  children.push(child)
  let output = ''
  child.stderr?.on('data', (data) => {
    output += String(data)
  })
  const ended = new Promise<{ code: number | null; output: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, output }))
  })
  return { child, ended }
}

test('two programs agree on one certificate, admit what the API server asks them about, and stop when told to', async () => {
  cluster = await startCluster()
  const { admin } = cluster
  const ports = [await freePort(), await freePort()]
  const [first = 0] = ports
  const KUBECONFIG = await kubeconfig(cluster)
  const programs = ports.map((port) =>
    start({ KUBECONFIG, K8SCLAW_LISTEN: `127.0.0.1:${port}`, K8SCLAW_WEBHOOK_NAMES: '127.0.0.1' }),
  )
  await install(admin, `https://127.0.0.1:${first}`)
  const isReady = async (port: number) => {
    const answer = await call(port, (await bundles(admin))[0] ?? '')
    return typeof answer === 'string' ? answer : answer.status
  }
  for (const port of ports) await expect.poll(() => isReady(port), patience).toBe(200)
  expect(new Set(await bundles(admin))).toEqual(new Set([await secretText(admin, 'ca.crt')]))

  const run = await admin.create<AgentRun>(agentRuns, {
    apiVersion: 'k8sclaw.io/v1alpha1',
    kind: 'AgentRun',
    metadata: { name: 'mine', namespace: 'default' },
    spec: { instanceRef: { name: 'desk' }, agent: 'default', task: 'go' },
  })
  expect(run.spec.origin?.kind).toBe('user')

  for (const { child } of programs) child.kill('SIGTERM')
  for (const { ended } of programs) expect((await ended).code).toBe(0)
})

test('floods of malformed and of large reviews cost it neither its life nor the memory that the manifests give it', {
  timeout: 120_000,
}, async () => {
  cluster = await startCluster()
  const port = await freePort()
  const KUBECONFIG = await kubeconfig(cluster)
  const { child } = start({ KUBECONFIG, K8SCLAW_LISTEN: `127.0.0.1:${port}`, K8SCLAW_WEBHOOK_NAMES: '127.0.0.1' })
  await install(cluster.admin, `https://127.0.0.1:${port}`)
  const { admin } = cluster
  const ca = async () => (await bundles(admin))[0] ?? ''
  await expect.poll(async () => await call(port, await ca()), patience).toMatchObject({ status: 200 })

  const agent = new Agent({ ca: await ca(), keepAlive: true, maxSockets: 32 })
  const send = (body: string) =>
    new Promise<number | string>((resolve) => {
      const options = { host: '127.0.0.1', port, path: '/validate/agentruns', method: 'POST', agent }
      const outgoing = request(options, (response) => {
        response.resume()
        response.on('end', () => resolve(response.statusCode ?? 0))
      })
      // Who sends on after the answer may find the connection closed.
      outgoing.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
      outgoing.end(body)
    })
  const whole = JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: { uid: 'u', operation: 'CREATE', object: { spec: { task: 'go' } } },
  })
  const cuts = Array.from({ length: 10_000 }, (_, i) => whole.slice(0, (i * 7) % whole.length))
  expect(new Set(await Promise.all(cuts.map(send)))).toEqual(new Set([400]))

  const large = [6, 7, 9].map((megabytes) => whole.replace('go', 'x'.repeat(megabytes * 1024 * 1024)))
  const answers = await Promise.all(Array.from({ length: 48 }, (_, i) => send(large[i % 3] ?? '')))
  // Judged, too large, one too many, or cut off while still sending.
  expect([200, 413, 503, 'ECONNRESET', 'EPIPE']).toEqual(expect.arrayContaining([...new Set(answers)]))
  expect(answers).toContain(200)
  agent.destroy()

  const highest = readFileSync(`/proc/${child.pid}/status`, 'utf8').match(/^VmHWM:\s+(\d+) kB$/m)?.[1]
  expect(Number(highest)).toBeLessThan(512 * 1024)
  expect(await call(port, await ca())).toMatchObject({ status: 200 })
})

const noName =
  /K8SCLAW_WEBHOOK_NAMES is not usable: must be at most 16 DNS names or IP addresses, with commas between them\n$/
test.each([
  [{ K8SCLAW_ISOLATION: 'maybe' }, /^k8sclaw-webhook: the environment variable K8SCLAW_ISOLATION is not usable: .*\n$/],
  [
    { K8SCLAW_LISTEN: 'everywhere' },
    /^k8sclaw-webhook: the environment variable K8SCLAW_LISTEN is not usable: must be host:port\n$/,
  ],
  [{ K8SCLAW_WEBHOOK_NAMES: 'https://x' }, noName],
  [{ K8SCLAW_WEBHOOK_NAMES: '' }, noName],
])('%j is one clear sentence and exit 2', async (env, sentence) => {
  const { code, output } = await start(env).ended
  expect(code).toBe(2)
  expect(output).toMatch(sentence)
})
