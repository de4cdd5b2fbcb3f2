import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type BusKeys, mintBusKeys } from '#core/identity'
import { type AgentRun, agentRuns, clawInstances, type KubeObject } from '#core/kinds'
import { type ConfigMap, configMaps, type Job, jobs, leases, type Secret, secrets } from '#core/kube'
import { startCluster, type TestCluster } from '../../test/support/cluster.ts'
import { startNats, type TestNats } from '../../test/support/nats.ts'
import { freePort } from '../../test/support/ports.ts'

const main = join(import.meta.dirname, 'main.ts')
const namespace = 'k8sclaw-system'
const wait = { timeout: 20_000, interval: 50 }
let cluster: TestCluster
let nats: TestNats
let folder = ''
const children: ChildProcess[] = []

beforeAll(async () => {
  cluster = await startCluster()
  folder = await mkdtemp(join(tmpdir(), 'k8sclaw-controller-'))
})
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await nats?.close()
  await cluster.close()
  await rm(folder, { recursive: true, force: true })
})

/** The environment of a pod of that service account. */
async function podEnv(account: string): Promise<NodeJS.ProcessEnv> {
  const files = await mkdtemp(join(folder, 'account-'))
  const { token } = await cluster.api.client.mintToken({ namespace, name: account })
  await Promise.all(
    Object.entries({ token, namespace, 'ca.crt': cluster.api.caPem }).map(([name, text]) =>
      writeFile(join(files, name), text),
    ),
  )
  const { hostname, port } = new URL(cluster.api.url)
  return {
    PATH: process.env.PATH,
    HOME: folder,
    KUBERNETES_SERVICE_HOST: hostname,
    KUBERNETES_SERVICE_PORT: port,
    K8SCLAW_SERVICEACCOUNT_DIR: files,
  }
}

function start(args: string[], env: NodeJS.ProcessEnv) {
  const { NODE_COMPILE_CACHE } = process.env
  const child = spawn(process.execPath, [main, ...args], {
    env: { NODE_COMPILE_CACHE, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  children.push(child)
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  return { child, ended, said: () => said }
}

async function writeKeys(keys: Partial<BusKeys>): Promise<string> {
  const keysDir = await mkdtemp(join(folder, 'keys-'))
  await Promise.all(Object.entries(keys).map(([name, text]) => writeFile(join(keysDir, name), text)))
  return keysDir
}

describe('controller mint-keys', () => {
  it('makes the Secret once, with no right but to create it', async () => {
    const env = await podEnv('k8sclaw-keys')
    expect(await start(['mint-keys'], env).ended).toBe(0)
    const first = await cluster.admin.get<Secret>(secrets, { name: 'k8sclaw-bus', namespace })
    expect(Object.keys(first.data ?? {}).toSorted()).toEqual(Object.keys(mintBusKeys()).toSorted())
    expect(await start(['mint-keys'], env).ended).toBe(0)
    const second = await cluster.admin.get<Secret>(secrets, { name: 'k8sclaw-bus', namespace })
    expect(second.metadata.resourceVersion).toBe(first.metadata.resourceVersion)
    const tls = { name: 'k8sclaw-tls', namespace }
    expect(await cluster.admin.find(secrets, tls)).toBeUndefined()
    expect(await start(['mint-keys', '--tls'], env).ended).toBe(0)
    expect((await cluster.admin.get<Secret>(secrets, tls)).data).toHaveProperty(['ca.crt'])
  })
})

describe('controller', () => {
  it.each([
    [['mint'], {}, /^usage: controller/],
    [['mint-keys', '--all'], {}, /^usage: controller/],
    [[], {}, /the environment variable K8SCLAW_BUS_KEYS_DIR is not set/],
  ])('refuses %j with one sentence and exit code 2', async (args, env, sentence) => {
    const { ended, said } = start(args, { PATH: process.env.PATH, ...env })
    expect(await ended).toBe(2)
    expect(said()).toMatch(sentence)
    expect(said().trim().split('\n')).toHaveLength(1)
  })

  it('starts before bus and keys are there, and goes on where it was killed', async () => {
    const { data = {} } = await cluster.admin.get<Secret>(secrets, { name: 'k8sclaw-bus', namespace })
    const decoded = Object.entries(data).map(([name, text]) => [name, Buffer.from(text, 'base64').toString()])
    const keys = Object.fromEntries(decoded) as BusKeys
    nats = await startNats(keys)
    await nats.kill9()
    const keysDir = await writeKeys({})
    const port = await freePort()
    const env = {
      ...(await podEnv('k8sclaw-controller')),
      K8SCLAW_LISTEN: `127.0.0.1:${port}`,
      K8SCLAW_NAMESPACE: namespace,
      K8SCLAW_REPLICA: 'controller-0',
      K8SCLAW_BUS_KEYS_DIR: keysDir,
      EVENT_BUS_URL: nats.url,
      K8SCLAW_ISOLATION: 'bubblewrap',
    }
    const status = async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).status
    const first = start([], env)
    await vi.waitFor(() => expect(first.said()).toContain('waiting for the keys'), wait)
    await Promise.all(Object.entries(keys).map(([name, text]) => writeFile(join(keysDir, name), text)))
    await vi.waitFor(async () => expect(await status('/healthz')).toBe(200), wait)
    expect(await status('/readyz')).toBe(503)
    await nats.restart()
    await vi.waitFor(async () => expect(await status('/readyz')).toBe(200), wait)
    const published = await cluster.admin.get<ConfigMap>(configMaps, { name: 'k8sclaw-identity', namespace })
    expect(published.data?.['run-token.public.pem']).toContain('PUBLIC KEY')

    first.child.kill('SIGKILL')
    await first.ended
    const common = { apiVersion: 'k8sclaw.io/v1alpha1' }
    await cluster.admin.create(clawInstances, {
      ...common,
      kind: 'ClawInstance',
      metadata: { name: 'helper', namespace: 'default' },
      spec: { agents: { default: { model: { provider: 'demo', name: 'demo' } } } },
    } as KubeObject)
    const run = await cluster.admin.create(agentRuns, {
      ...common,
      kind: 'AgentRun',
      metadata: { name: 'r', namespace: 'default' },
      spec: { instanceRef: { name: 'helper' }, task: 't' },
    } as KubeObject)
    const second = start([], env)
    await vi.waitFor(async () => {
      expect((await cluster.admin.get<AgentRun>(agentRuns, run.metadata)).status?.phase).toBe('Running')
      expect((await cluster.admin.list<Job>(jobs, { namespace: 'default' })).items).toHaveLength(1)
    }, wait)
    second.child.kill('SIGTERM')
    expect(await second.ended).toBe(0)
  })

  it('stands by while another replica leads, takes over when that one goes, and exits when the lease is taken', async () => {
    const keysDir = await writeKeys(nats.keys)
    const replica = async (name: string) => {
      const port = await freePort()
      const started = start([], {
        ...(await podEnv('k8sclaw-controller')),
        K8SCLAW_LISTEN: `127.0.0.1:${port}`,
        K8SCLAW_REPLICA: name,
        K8SCLAW_BUS_KEYS_DIR: keysDir,
        EVENT_BUS_URL: nats.url,
        K8SCLAW_ISOLATION: 'bubblewrap',
      })
      const ask = async (path: string, init?: RequestInit) =>
        (await fetch(`http://127.0.0.1:${port}${path}`, init)).status
      await vi.waitFor(async () => expect(await ask('/readyz')).toBe(200), wait)
      return { ...started, ask }
    }
    const lease = { name: 'k8sclaw-controller', namespace }
    const holder = async () => (await cluster.admin.get<Lease>(leases, lease)).spec.holderIdentity
    const first = await replica('first')
    const second = await replica('second')
    expect(await holder()).toBe('first')
    expect(second.said()).toContain('standing by')
    expect(await second.ask('/v1/identity', { method: 'POST' }), 'whoever asks without a token').toBe(401)
    first.child.kill('SIGTERM')
    expect(await first.ended).toBe(0)
    await vi.waitFor(async () => expect(await holder()).toBe('second'), wait)
    await cluster.admin.patch(leases, lease, { spec: { holderIdentity: 'usurper' } })
    expect(await second.ended).toBe(1)
    expect(second.said()).toContain('the lease is held by usurper')
    expect(await holder()).toBe('usurper')
  })
})

type Lease = KubeObject & { spec: { holderIdentity: string } }
