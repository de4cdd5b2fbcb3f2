import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectPlain } from 'node:net'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { connect } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { parse, parseAllDocuments } from 'yaml'
import type { KubeObject } from '#core/kinds'
import type { Job } from '#core/kube'
import { startTestPlatform, type TestPlatform } from './support/platform.ts'
import { testTlsSecret } from './support/tls.ts'

const system = 'k8sclaw-system'
const ports = { nats: 4222, identity: 8082, gateway: 8080, apiserver: 8080 }
type Server = keyof typeof ports
const servers = Object.keys(ports) as Server[]

let platform: TestPlatform
let folder = ''
/** Where each Service is, on this machine. */
let addresses: Record<Server, string>
let ca = ''
/** localkube's API, as the kubeconfig has it. */
let kubernetes: { server: string; 'certificate-authority-data': string }

const root = resolve(import.meta.dirname, '..')
const config = () => relative(folder, join(root, 'config'))

/** What an overlay renders to; by default one of a single machine with the component. */
async function rendered(
  overlay: object = { resources: [`${config()}/standalone`], components: [`${config()}/tls`] },
): Promise<KubeObject[]> {
  writeFileSync(join(folder, 'kustomization.yaml'), JSON.stringify(overlay))
  const text = await platform.kubectl(['kustomize', folder])
  return parseAllDocuments(text).map((document) => document.toJS() as KubeObject)
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'k8sclaw-overlay-'))
  platform = await startTestPlatform()
  const config = parse(readFileSync(join(platform.dataDir, 'kubeconfig'), 'utf8')) as {
    clusters: { cluster: typeof kubernetes }[]
  }
  kubernetes = config.clusters[0]?.cluster ?? { server: '', 'certificate-authority-data': '' }
  const addressOf = async (name: Server) => {
    const service = await platform.getJson<{ spec: { clusterIP: string } }>(
      'get',
      'svc',
      `k8sclaw-${name}`,
      '-n',
      system,
    )
    return [name, service.spec.clusterIP] as const
  }
  addresses = Object.fromEntries(await Promise.all(servers.map(addressOf))) as Record<Server, string>
  // Pods are processes here, which find a Service by its address instead of its name.
  const secret = await testTlsSecret(system, (name) => [addresses[name]])
  ca = Buffer.from(secret.data['ca.crt'], 'base64').toString()
  // The Job of the keys has run, and what a Job runs never changes.
  const changed = (await rendered()).filter(({ kind }) => kind === 'Deployment' || kind === 'Service')
  await platform.apply(secret, ...changed)
  for (const name of ['nats', 'controller', 'gateway', 'apiserver']) {
    await platform.kubectl(['rollout', 'status', `deployment/k8sclaw-${name}`, '-n', system, '--timeout=90s'])
  }
  await platform.kubectl(['apply', '-f', 'config/samples/'])
})
afterAll(async () => {
  await platform?.close()
  rmSync(folder, { recursive: true, force: true })
})

describe('the manifests', () => {
  test('leave nothing inside a cluster that is called plainly', async () => {
    const text = JSON.stringify(await rendered({ resources: [`${config()}/default`] }))
    expect(text.match(/https:\/\/k8sclaw-[a-z]+|tls:\/\/k8sclaw-nats/g)?.length).toBeGreaterThanOrEqual(7)
    expect(text.match(/(http|nats):\/\/k8sclaw[^"]*/g)).toBeNull()
  })

  test('take certificates of another maker as docs/tls.md says', async () => {
    const [, example = ''] = /```yaml\n(.*?)```/s.exec(readFileSync(join(root, 'docs', 'tls.md'), 'utf8')) ?? []
    const { patches } = parse(example) as { patches: object[] }
    const objects = await rendered({ resources: [`${config()}/default`], patches })
    const text = JSON.stringify(objects.filter(({ kind }) => kind === 'Deployment' || kind === 'StatefulSet'))
    for (const name of servers) {
      expect(text).toContain(`"name":"tls","secret":{"defaultMode":288,"secretName":"k8sclaw-${name}-tls"}`)
    }
    expect(text).not.toContain('"k8sclaw-tls"')
  })
})

describe('the platform with the component tls', () => {
  test('mints its certificates by the same Job as the keys of the bus', async () => {
    const job = (await rendered()).find(({ kind, metadata }) => kind === 'Job' && metadata.name === 'k8sclaw-keys')
    const args = ['mint-keys', '--database', '--tls']
    expect(job).toMatchObject({ spec: { template: { spec: { containers: [{ args }] } } } })
  })

  test('runs an agent, and the command line follows it through the service proxy', async () => {
    const { code, stdout, stderr } = await platform.k8sclaw('run', 'Which system is this?', '--follow')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/-> exec/)
    expect(stdout).toMatch(/Succeeded \(Completed\)/)
    expect((await platform.k8sclaw('doctor')).stdout).toContain('answers 200 through the service proxy')
  })

  test('gives bridges the authority and nothing of the servers', async () => {
    const { items } = await platform.getJson<{ items: Job[] }>('get', 'jobs')
    const text = JSON.stringify(items)
    expect(text).toContain(JSON.stringify({ name: 'K8SCLAW_CA', value: ca }))
    expect(text).not.toContain('PRIVATE KEY')
    expect(text).not.toContain('k8sclaw-tls')
  })

  test('carries WebSockets through the service proxy to a port that speaks TLS', async () => {
    await platform.kubectl(['wait', 'agentrun/sample', '--for=jsonpath={.status.phase}=Succeeded', '--timeout=60s'])
    const service = `/api/v1/namespaces/${system}/services/https:k8sclaw-apiserver:https/proxy`
    const url = `${kubernetes.server}${service}/api/v1/namespaces/default/runs/sample/stream`
    const authorization = `Bearer ${platform.token}`
    const socket = new WebSocket(url.replace(/^http/, 'ws'), {
      ca: Buffer.from(kubernetes['certificate-authority-data'], 'base64'),
      headers: { authorization, 'x-k8sclaw-authorization': authorization },
    })
    const types: unknown[] = []
    socket.on('message', (data: Buffer) => types.push((JSON.parse(data.toString()) as { type: unknown }).type))
    const [code] = (await once(socket, 'close')) as [number]
    expect([code, types.at(-1)]).toEqual([1000, 'outcome'])
  })

  test.each(servers)('serves %s under a certificate of its own, and nobody who speaks plainly', async (name) => {
    const at = { host: addresses[name], port: ports[name] }
    // The bus says what it speaks before TLS begins; the others begin at once.
    const plain = connectPlain(at)
    if (name === 'nats') await once(plain, 'data')
    const socket = connect(name === 'nats' ? { socket: plain, host: at.host, ca } : { ...at, ca })
    await once(socket, 'secureConnect')
    expect(socket.getProtocol()).toBe('TLSv1.3')
    expect(socket.getPeerCertificate().subject.CN).toBe(addresses[name])
    socket.destroy()
    plain.destroy()

    const rude = connectPlain(at)
    const said = text(rude).catch(() => '')
    rude.write(name === 'nats' ? 'CONNECT {}\r\nPING\r\n' : 'GET /healthz HTTP/1.1\r\nhost: any\r\n\r\n')
    expect(await said).not.toMatch(/PONG|^HTTP/m)
  })

  test('moves to another authority in steps, and no program but the bus is started again', async () => {
    const pods = async () =>
      await platform.getJson<{ items: { metadata: { name: string }; status: { containerStatuses: object[] } }[] }>(
        ...['get', 'pods', '-n', system, '-l', 'app.kubernetes.io/name in (k8sclaw-gateway, k8sclaw-apiserver)'],
      )
    const put = (data: Record<string, string>) =>
      platform.kubectl(['patch', 'secret', 'k8sclaw-tls', '-n', system, '--type=merge', '-p', JSON.stringify({ data })])
    const before = (await pods()).items.map(({ metadata }) => metadata.name)
    const next = await testTlsSecret(system, (name) => [addresses[name]])
    const nextCa = Buffer.from(next.data['ca.crt'], 'base64').toString()
    const both = Buffer.from(ca + nextCa).toString('base64')
    await put({ 'ca.crt': both })
    const began = async () => {
      const { stdout } = await platform.k8sclaw('run', 'Which system is this?', '--follow')
      return stdout.includes('Succeeded (Completed)')
    }
    expect(await began()).toBe(true)

    await put({ ...next.data, 'ca.crt': both })
    await platform.kubectl(['rollout', 'restart', 'deployment/k8sclaw-nats', '-n', system])
    await platform.kubectl(['rollout', 'status', 'deployment/k8sclaw-nats', '-n', system, '--timeout=60s'])
    for (const name of ['identity', 'gateway', 'apiserver'] as const) {
      const served = async () => {
        const socket = connect({ host: addresses[name], port: ports[name], ca: nextCa })
        return await once(socket, 'secureConnect').then(
          () => socket.destroy() !== undefined,
          () => false,
        )
      }
      await expect.poll(served, { timeout: 60_000 }).toBe(true)
    }
    await expect.poll(began, { timeout: 60_000 }).toBe(true)
    expect((await pods()).items.map(({ metadata }) => metadata.name)).toEqual(before)
  })
})
