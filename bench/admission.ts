import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { clawInstances, clawPolicies } from '#core/kinds'
import { loadKube } from '#core/kube'
import { kubectl } from '../build/kubectl.ts'
import { bundles, install, systemNamespace } from '../programs/webhook/testing.ts'
import { kubernetesAssets } from '../test/kubernetes/assets.ts'
import { startKubernetes, type TestKubernetes } from '../test/support/kubernetes.ts'
import { instance } from '../test/support/objects.ts'
import { execute } from '../test/support/platform.ts'
import { freePort } from '../test/support/ports.ts'
import { Program } from '../test/support/program.ts'
import { type Bench, figure, timed } from './figures.ts'

const warmUp = 200
const times = 1_000
/** Goal: p99 20 ms. */
const goalMs = 20

/**
 * admission: one review of a new AgentRun, asked as an API server asks, over a kept connection, of the webhook in its own
 * process, which looks up instance and policy on a real API server; held against the goal.
 */
export const admission: Bench = {
  figures: ['admission'],
  async take() {
    if (!kubernetesAssets()) return { admission: { skipped: 'there is no kube-apiserver on this machine' } }
    const kubernetes = await startKubernetes()
    const folder = await mkdtemp(join(tmpdir(), 'k8sclaw-bench-'))
    const closers: (() => unknown)[] = [() => rm(folder, { recursive: true, force: true }), () => kubernetes.close()]
    try {
      const admin = await loadKube({ env: { KUBECONFIG: kubernetes.kubeconfig } })
      closers.push(() => admin.close())
      for (const part of ['crd', 'rbac']) await apply(kubernetes, part)
      const port = await freePort()
      const token = await admin.createToken({ namespace: systemNamespace, name: 'k8sclaw-webhook' })
      const program = new Program(
        process.execPath,
        [join(import.meta.dirname, '..', 'programs/webhook/main.ts')],
        folder,
        {
          PATH: process.env.PATH,
          KUBECONFIG: await kubeconfig(folder, kubernetes, token),
          K8SCLAW_ISOLATION: 'kubernetes',
          K8SCLAW_LISTEN: `127.0.0.1:${port}`,
          K8SCLAW_WEBHOOK_NAMES: '127.0.0.1',
        },
      )
      closers.push(() => program.stop())
      await install(admin, `https://127.0.0.1:${port}`)
      const ca = async () => (await bundles(admin))[0] ?? ''
      while ((await ca()) === '') await sleep(50)
      const agent = new Agent({ ca: await ca(), keepAlive: true })
      closers.push(() => agent.destroy())

      const policy = { apiVersion: 'k8sclaw.io/v1alpha1', kind: 'ClawPolicy', spec: {} }
      await admin.create(clawPolicies, { ...policy, metadata: { name: 'default-policy', namespace: 'default' } })
      await admin.create(clawInstances, instance('desk') as never)
      const samples: number[] = []
      for (let i = 0; i < warmUp + times; i++) {
        const took = await timed(() => ask(agent, port, i))
        if (i >= warmUp) samples.push(took)
      }
      return { admission: figure('ms', samples, goalMs) }
    } finally {
      for (const close of closers.toReversed()) await close()
    }
  },
}

async function apply({ kubeconfig: file }: TestKubernetes, part: string): Promise<void> {
  const { code, stderr } = await execute(kubectl(), ['apply', '-k', `config/${part}`], {
    env: { ...process.env, KUBECONFIG: file },
  })
  if (code !== 0) throw new Error(stderr)
}

async function kubeconfig(folder: string, { url, caPem }: TestKubernetes, token: string): Promise<string> {
  const cluster = { server: url, 'certificate-authority-data': Buffer.from(caPem).toString('base64') }
  const file = join(folder, 'kubeconfig')
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user: { token } }],
  }
  await writeFile(file, JSON.stringify(config), { mode: 0o600 })
  return file
}

/** One review; throws unless the run is admitted. */
async function ask(agent: Agent, port: number, i: number): Promise<void> {
  const username = 'kubernetes-admin'
  const review = {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: `u-${i}`,
      operation: 'CREATE',
      namespace: 'default',
      name: `run-${i}`,
      userInfo: { username },
      object: {
        metadata: { name: `run-${i}`, labels: { 'k8sclaw.io/instance': 'desk' } },
        spec: {
          instanceRef: { name: 'desk' },
          agent: 'default',
          task: 'go',
          origin: { kind: 'user', detail: username },
        },
      },
    },
  }
  const text = await new Promise<string>((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path: '/validate/agentruns', method: 'POST', agent }
    const outgoing = request(options, (response) => {
      let answer = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        answer += chunk
      })
      response.on('end', () => resolve(answer))
    })
    outgoing.on('error', reject).end(JSON.stringify(review))
  })
  if (!text.includes('"allowed":true')) throw new Error(`the review was answered ${text}`)
}
