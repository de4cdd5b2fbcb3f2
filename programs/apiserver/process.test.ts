import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePort } from '../../test/support/ports.ts'

const main = join(import.meta.dirname, 'main.ts')
let folder: string
let env: Record<string, string>

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'k8sclaw-apiserver-'))
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server: 'https://127.0.0.1:1' } }],
    users: [{ name: 'u', user: { token: 't' } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  }
  await writeFile(join(folder, 'kubeconfig'), JSON.stringify(kubeconfig))
  await writeFile(join(folder, 'token'), 'token')
  env = {
    PATH: process.env.PATH ?? '',
    KUBECONFIG: join(folder, 'kubeconfig'),
    K8SCLAW_LISTEN: `127.0.0.1:${await freePort()}`,
    EVENT_BUS_URL: 'nats://127.0.0.1:1',
    K8SCLAW_IDENTITY_URL: 'http://127.0.0.1:1',
    K8SCLAW_TOKEN_FILE: join(folder, 'token'),
  }
})
afterAll(() => rm(folder, { recursive: true }))

function start(variables: Record<string, string>): ChildProcess & { said: Promise<string> } {
  const { NODE_COMPILE_CACHE } = process.env
  const child = spawn(process.execPath, [main], {
    env: { NODE_COMPILE_CACHE, ...variables },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  return Object.assign(child, { said: text(child.stderr) })
}

describe('the API server as a process', () => {
  test('names the variable that is missing or wrong, and exits with 2', async () => {
    const { EVENT_BUS_URL: _, ...missing } = env
    for (const [variables, name] of [
      [missing, 'EVENT_BUS_URL'],
      [{ ...env, K8SCLAW_LISTEN: 'nowhere' }, 'K8SCLAW_LISTEN'],
      [{ ...env, K8SCLAW_IDENTITY_URL: 'ftp://x' }, 'K8SCLAW_IDENTITY_URL'],
    ] as const) {
      const child = start(variables)
      expect((await once(child, 'exit'))[0]).toBe(2)
      expect(await child.said).toMatch(new RegExp(`^k8sclaw-apiserver: the environment variable ${name} is not .*\n$`))
    }
  })

  test('serves before bus, identity and Kubernetes do, is not ready then, and stops when told to', async () => {
    const metrics = `127.0.0.1:${await freePort()}`
    const child = start({ ...env, K8SCLAW_METRICS_LISTEN: metrics })
    try {
      const base = `http://${env.K8SCLAW_LISTEN}`
      const status = (path: string) => fetch(base + path).then((response) => response.status)
      await expect.poll(() => status('/healthz').catch(() => 0), { timeout: 15_000 }).toBe(200)
      expect(await status('/readyz')).toBe(503)
      expect(await status('/api/v1/namespaces/x/runs')).toBe(401)
      const asked = await fetch(`${base}/api/v1/namespaces/x/runs`, { headers: { authorization: 'Bearer t' } })
      expect([asked.status, ((await asked.json()) as { code: string }).code]).toEqual([503, 'unavailable'])
      const measured = await (await fetch(`http://${metrics}/metrics`)).text()
      const requests = 'k8sclaw_http_requests_total{method="GET",route="/api/v1/namespaces/:ns/runs"'
      expect(measured).toContain(`${requests},status="401"} 1`)
      expect(measured).toContain(`${requests},status="503"} 1`)
      expect(measured).toContain('k8sclaw_streams_open 0')
      expect((await fetch(`${base}/metrics`)).status).toBe(401)
      child.kill('SIGTERM')
      expect((await once(child, 'exit'))[0]).toBe(0)
    } finally {
      child.kill('SIGKILL')
    }
  })
})
