import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { signRunToken } from '#core/identity'
import { ask, startUpstream, type TestUpstream } from '../../test/support/gateway.ts'
import { freePort } from '../../test/support/ports.ts'

const main = join(import.meta.dirname, 'main.ts')
let folder: string
let kubernetes: TestUpstream

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'k8sclaw-gateway-'))
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  kubernetes = await startUpstream(({ path }, response) => {
    if (path !== '/api/v1/namespaces/tenant-a/secrets/scripted') {
      response.writeHead(404).end(JSON.stringify({ kind: 'Status', reason: 'NotFound', code: 404 }))
      return
    }
    const data = { script: base64('steps: [{ reply: { text: from the Secret } }]') }
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'scripted' }, data }))
  })
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'c',
    clusters: [{ name: 'c', cluster: { server: kubernetes.url } }],
    users: [{ name: 'c', user: { token: 'gateway-token' } }],
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'c' } }],
  }
  await writeFile(join(folder, 'kubeconfig'), JSON.stringify(config))
})
afterAll(async () => {
  await kubernetes.close()
  await rm(folder, { recursive: true, force: true })
})

function start(env: Record<string, string>): { child: ChildProcess; errors: () => string } {
  const { PATH, NODE_COMPILE_CACHE } = process.env
  const child = spawn(process.execPath, [main], {
    env: { PATH, NODE_COMPILE_CACHE, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let errors = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    errors += chunk.toString()
  })
  return { child, errors: () => errors }
}

describe('the gateway as a process', () => {
  it('says in one sentence which variable is missing', async () => {
    const { child, errors } = start({ EVENT_BUS_URL: 'http://bus' })
    const [code] = (await once(child, 'exit')) as [number]
    expect(code).toBe(2)
    expect(errors()).toBe(
      'k8sclaw-gateway: the environment variable EVENT_BUS_URL is not usable: must be a URL that starts with nats:// or tls://\n',
    )
  })

  it('serves without bus and identity endpoint, waits for its key, and stops when told, losing no usage in silence', async () => {
    const keyFile = join(folder, 'run-token.public.pem')
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    const metrics = `127.0.0.1:${await freePort()}`
    const { child, errors } = start({
      K8SCLAW_LISTEN: `127.0.0.1:${port}`,
      K8SCLAW_METRICS_LISTEN: metrics,
      EVENT_BUS_URL: 'nats://127.0.0.1:9',
      K8SCLAW_IDENTITY_URL: 'http://127.0.0.1:9',
      K8SCLAW_TOKEN_FILE: join(folder, 'token'),
      K8SCLAW_RUN_TOKEN_KEY_FILE: keyFile,
      KUBECONFIG: join(folder, 'kubeconfig'),
    })
    try {
      const status = async (path: string) => (await ask(url + path, {}).catch(() => ({ status: 0 }))).status
      await expect.poll(() => status('/healthz'), { timeout: 15_000 }).toBe(200)
      expect(await status('/readyz')).toBe(503)
      const { publicKey, privateKey } = generateKeyPairSync('ed25519')
      await writeFile(keyFile, publicKey.export({ type: 'spki', format: 'pem' }))
      await expect.poll(() => status('/readyz')).toBe(200)

      const token = signRunToken(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), {
        uid: 'uid-process',
        run: 'a-run',
        namespace: 'tenant-a',
        instance: 'helper',
        attempt: 1,
        provider: 'demo',
        secretRef: 'scripted',
        models: ['demo'],
        exp: Math.floor(Date.now() / 1000) + 600,
      })
      const body = { model: 'demo', messages: [{ role: 'user', content: 'hi' }] }
      for (const _ of [1, 2]) {
        expect(await ask(`${url}/openai/v1/chat/completions`, { token, body })).toMatchObject({
          status: 200,
          body: expect.stringContaining('from the Secret') as string,
        })
      }
      expect(kubernetes.received.map((r) => [r.method, r.path, r.headers.authorization])).toEqual([
        ['GET', '/api/v1/namespaces/tenant-a/secrets/scripted', 'Bearer gateway-token'],
      ])
      expect((await ask(`${url}/openai/v1/chat/completions`, { token: 'forged', body })).status).toBe(401)
      const measured = await (await fetch(`http://${metrics}/metrics`)).text()
      for (const sample of [
        'k8sclaw_model_calls_total{provider="demo",model="demo",status="200"} 2',
        'k8sclaw_model_refusals_total{code="unauthenticated"} 1',
        'k8sclaw_usage_outbox_depth 2',
        'k8sclaw_kubernetes_requests_total{method="GET",status="200"} 1',
      ])
        expect(measured).toContain(sample)
      expect(measured).not.toContain('tenant-a')

      child.kill('SIGTERM')
      const [code] = (await once(child, 'exit')) as [number]
      expect(code).toBe(0)
      expect(errors().match(/usage not published/g)).toHaveLength(2)
    } finally {
      child.kill('SIGKILL')
    }
  })
})
