import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { kubectl as findKubectl } from '../../build/kubectl.ts'
import { startKubernetes, type TestKubernetes } from '../support/kubernetes.ts'
import { execute, type Finished, k8sclawBinary } from '../support/platform.ts'
import { kubernetesAssets } from './assets.ts'

// biome-ignore lint/suspicious/noExplicitAny: answers are read as the JSON that came.
type Json = any

let server: TestKubernetes
beforeAll(async () => {
  server = await startKubernetes()
}, 300_000)
afterAll(() => server?.close())

const env = () => ({ ...process.env, KUBECONFIG: server.kubeconfig })
const kubectl = (args: string, input?: string): Promise<Finished> =>
  execute(findKubectl(), args.split(' '), { env: env(), ...(input ? { input } : {}) })
const k8sclaw = (...args: string[]): Promise<Finished> => execute(k8sclawBinary, args, { env: env() })
const json = async (args: string): Promise<Json> => {
  const { code, stdout, stderr } = await kubectl(`${args} -o json`)
  if (code !== 0) throw new Error(stderr)
  return JSON.parse(stdout)
}
const everything =
  'namespaces,crd,clusterroles,clusterrolebindings,mutatingwebhookconfigurations,validatingwebhookconfigurations'
const ofOurs = async (): Promise<string[]> => {
  const { stdout } = await kubectl(`get ${everything} -o name`)
  return stdout.split('\n').filter((name) => name.includes('k8sclaw'))
}

describe.skipIf(!kubernetesAssets()?.hasControllerManager)('an installation on a real kube-apiserver', () => {
  test('is what kubectl accepts as it stands, without a warning', async () => {
    await kubectl('create namespace k8sclaw-system')
    const printed = await k8sclaw('install', '--dry-run')
    const { code, stderr } = await kubectl(
      'apply --server-side --dry-run=server --validate=strict -f -',
      printed.stdout,
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    await kubectl('delete namespace k8sclaw-system')
    expect(parseAllDocuments(printed.stdout).length).toBeGreaterThan(30)
  })

  test('says in a sentence what is not ready, and why', async () => {
    const { code, stdout, stderr } = await k8sclaw('install', '--timeout', '3s')
    expect(stdout).toContain('applying ')
    expect(code).toBe(1)
    expect(stderr).toMatch(/^error: not ready after 3 s: .*k8sclaw-controller has 0 of 2 available.*\n$/)
  })

  test('has a pod of each program: the restricted Pod Security of its namespace admits them all', async () => {
    const programs = ['apiserver', 'controller', 'gateway', 'keys', 'nats', 'webhook'].map((name) => `k8sclaw-${name}`)
    await expect
      .poll(
        async () => {
          const { items } = await json('get pods -n k8sclaw-system')
          const names = items.map((pod: Json) => pod.metadata.labels['app.kubernetes.io/name'])
          return [...new Set<string>(names)].toSorted()
        },
        { timeout: 60_000 },
      )
      .toEqual(programs)
  })

  test('waits for a StatefulSet too, such as that of the database', async () => {
    const install = () => k8sclaw('install', '-f', 'config/postgres/postgres.yaml', '--timeout', '3s')
    expect((await install()).stderr).toMatch(/^error: not ready after 3 s: k8sclaw-database has 0 of 1 available.*\n$/)

    const ready = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] }
    const pod = ['pod', 'k8sclaw-database-0', '-n', 'k8sclaw-system', '--subresource=status', '--type=merge', '-p']
    const runs = JSON.stringify({ status: ready })
    await expect
      .poll(async () => (await execute(findKubectl(), ['patch', ...pod, runs], { env: env() })).code, {
        timeout: 60_000,
      })
      .toBe(0)
    await expect
      .poll(async () => (await json('get statefulset k8sclaw-database -n k8sclaw-system')).status, { timeout: 60_000 })
      .toMatchObject({ availableReplicas: 1 })
    // Nobody runs the webhook here, which is all that is missing now.
    expect((await install()).stderr).toMatch(/^error: not ready after 3 s: an AgentRun is not admitted yet .*\n$/)
  })

  test('applied again changes nothing, and an object that a program wrote into keeps what it wrote', async () => {
    const path = 'validatingwebhookconfiguration k8sclaw-webhook'
    const written = [
      { op: 'add', path: '/webhooks/0/clientConfig/caBundle', value: Buffer.from(server.caPem).toString('base64') },
    ]
    await execute(findKubectl(), ['patch', ...path.split(' '), '--type=json', '-p', JSON.stringify(written)], {
      env: env(),
    })
    const before = await json(`get ${path}`)
    expect((await k8sclaw('install', '--no-wait')).code).toBe(0)
    expect(await json(`get ${path}`)).toEqual(before)
  })

  test('of another version replaces what the Job of the last one ran', async () => {
    const { code, stderr } = await k8sclaw('install', '--no-wait', '--tag', 'v2')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const { spec } = await json('get job k8sclaw-keys -n k8sclaw-system')
    expect(spec.template.spec.containers[0].image).toBe('k8sclaw/controller:v2')
  })

  test('is deleted only when that is meant', async () => {
    const { code, stderr } = await k8sclaw('uninstall')
    expect(code).toBe(1)
    expect(stderr).toContain('say --yes to do it')
    expect(await ofOurs()).toContain('namespace/k8sclaw-system')
  })

  test('leaves nothing when it is deleted, and nothing that is somebody else’s goes with it', async () => {
    // Nobody answers for the webhook here, so it must not be asked while the samples are made.
    await kubectl(
      'delete mutatingwebhookconfiguration,validatingwebhookconfiguration k8sclaw-webhook --ignore-not-found',
    )
    expect((await kubectl('apply -f config/samples/')).code).toBe(0)
    const { metadata } = await json('get clawinstance sample')
    const owned = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name: 'ours',
        labels: { 'app.kubernetes.io/managed-by': 'k8sclaw' },
        ownerReferences: [
          { apiVersion: 'k8sclaw.io/v1alpha1', kind: 'ClawInstance', name: metadata.name, uid: metadata.uid },
        ],
      },
    }
    const foreign = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'foreign', labels: owned.metadata.labels },
    }
    for (const object of [owned, foreign]) await kubectl('create -f -', JSON.stringify(object))
    const enforce = 'pod-security.kubernetes.io/enforce=restricted'
    await kubectl(`label namespace default ${enforce} k8sclaw.io/pod-security=set`)
    await kubectl(`label namespace kube-public ${enforce}`)
    const { code, stdout, stderr } = await k8sclaw('uninstall', '--yes', '--timeout', '90s')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain('nothing of it is left')
    expect(await ofOurs()).toEqual([])
    const left = (await kubectl('get configmaps -o name')).stdout.split('\n')
    expect(left).toContain('configmap/foreign')
    expect(left).not.toContain('configmap/ours')
    expect((await kubectl(`get namespaces -l ${enforce} -o name`)).stdout.trim()).toBe('namespace/kube-public')
    expect((await k8sclaw('uninstall', '--yes')).code).toBe(0)
  })
})
