import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type ApiServer, type KubeObject, type LogOptions, resources, startApi } from '#localkube/api'
import { type ImageTable, type LocalNode, startNode } from './index.ts'
import type { Container, Deployment, Job, Pod, PodSpec } from './objects.ts'
import { podFolder } from './pod-host.ts'

const namespace = 'default'
const images: ImageTable = {
  host: { argv: ['sh'], confined: true },
  open: { argv: [process.execPath, '-e'], confined: false },
  forwarding: {
    argv: ['/image/node', '-e'],
    confined: true,
    forwardPorts: true,
    mounts: [{ source: process.execPath, target: '/image/node', readOnly: true }],
  },
}
const prefix = '127.91.'

let folder: string
let api: ApiServer
let node: LocalNode
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'localkube-node-'))
  const address = '127.0.0.1'
  api = await startApi({
    dataDir: join(folder, 'api'),
    address,
    port: 0,
    serviceAddress: address,
    servicePrefix: `${prefix}3.`,
  })
  node = await start()
})
afterAll(async () => {
  await node.close()
  await api.close()
  await rm(folder, { recursive: true, force: true })
})

function start(): Promise<LocalNode> {
  return startNode({ api, dataDir: join(folder, 'node'), images, addressPrefix: prefix })
}

const get = <T extends KubeObject>(resource: Parameters<typeof api.client.get>[0], name: string) =>
  api.client.get<T>(resource, { namespace, name })
const remove = (resource: Parameters<typeof api.client.get>[0], name: string) =>
  api.client.delete(resource, { namespace, name }, { propagation: 'Background' })

async function createPod(name: string, spec: Partial<PodSpec>, labels: Record<string, string> = {}): Promise<Pod> {
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace, labels }, spec }
  return api.client.create<Pod>(resources.pods, pod)
}
async function createJob(name: string, spec: Partial<PodSpec>, job: Partial<Job['spec']> = {}): Promise<void> {
  await api.client.create(resources.jobs, {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, namespace },
    spec: { backoffLimit: 0, template: { spec: { restartPolicy: 'Never', ...spec } }, ...job },
  })
}
const sh = (name: string, script: string, more: Partial<Container> = {}): Container => ({
  name,
  image: 'host:any',
  command: ['sh', '-c', script],
  ...more,
})

async function until<T>(look: () => Promise<T | undefined | false>): Promise<T> {
  return vi.waitFor(
    async () => {
      const found = await look()
      if (found === undefined || found === false) throw new Error('not yet')
      return found
    },
    { timeout: 20_000, interval: 20 },
  )
}
const phase = (name: string, wanted: string) =>
  until(async () => {
    const pod = await get<Pod>(resources.pods, name)
    return pod.status?.phase === wanted && pod
  })
const finished = (name: string) =>
  until(async () => {
    const job = await get<Job>(resources.jobs, name)
    return job.status?.conditions?.some((c) => c.type === 'Complete' || c.type === 'Failed') && job
  })
const gone = (name: string) =>
  until(() =>
    get<Pod>(resources.pods, name).then(
      () => false,
      () => true,
    ),
  )
async function podOf(job: string): Promise<Pod> {
  const { items } = await api.client.list<Pod>(resources.pods, { namespace, labelSelector: `job-name=${job}` })
  const [pod] = items
  if (!pod) throw new Error(`no pod of ${job}`)
  return pod
}
/** As kubectl logs gets them. */
async function logs(pod: string, container: string, options: LogOptions = {}): Promise<string> {
  const query = new URLSearchParams({
    container,
    ...Object.fromEntries(Object.entries(options).map(([k, v]) => [k, String(v)])),
  })
  const { request } = await import('node:https')
  return new Promise((resolve, reject) => {
    request(
      `${api.url}/api/v1/namespaces/${namespace}/pods/${pod}/log?${query}`,
      { ca: api.caPem, headers: { authorization: `Bearer ${api.adminToken}` } },
      (response) => {
        let text = ''
        response.on('data', (chunk: Buffer) => (text += chunk.toString()))
        response.on('end', () => resolve(text))
      },
    )
      .on('error', reject)
      .end()
  })
}
const stateOf = (pod: Pod, container: string) =>
  [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])].find(
    (c) => c.name === container,
  )

describe('the node', () => {
  it('says in the API whether it is ready and whether it isolates', async () => {
    const { status } = await api.client.get<
      KubeObject & { status: { conditions: { type: string; status: string }[] } }
    >(resources.nodes, { name: 'localkube' })
    const condition = (type: string) => status.conditions.find((c) => c.type === type)?.status
    expect(condition('Ready')).toBe('True')
    expect(condition('Isolated')).toBe(node.isolation === 'bubblewrap' ? 'True' : 'False')
  })
})

describe('a Job', () => {
  it('runs its container to the end, with its output kept', async () => {
    await createJob('simple', {
      containers: [sh('main', 'echo "hello $WHO"', { env: [{ name: 'WHO', value: 'world' }] })],
    })
    const job = await finished('simple')
    expect(job.status).toMatchObject({ succeeded: 1, active: 0, conditions: [{ type: 'Complete', status: 'True' }] })
    const pod = await podOf('simple')
    expect(pod.metadata.labels).toMatchObject({ 'batch.kubernetes.io/controller-uid': job.metadata.uid })
    expect(await logs(pod.metadata.name, 'main')).toBe('hello world\n')
    await remove(resources.jobs, 'simple')
    await gone(pod.metadata.name)
  })

  it('fails with its pod, which says how it ended', async () => {
    await createJob('failing', { containers: [sh('main', 'exit 3')] })
    const job = await finished('failing')
    expect(job.status).toMatchObject({ failed: 1, conditions: [{ type: 'Failed', reason: 'BackoffLimitExceeded' }] })
    const pod = await podOf('failing')
    expect(pod.status?.phase).toBe('Failed')
    expect(stateOf(pod, 'main')?.state.terminated).toMatchObject({ exitCode: 3, reason: 'Error' })
  })

  it('is ended at its deadline, and removed after its time to live', async () => {
    const containers = [sh('main', 'sleep 60')]
    await createJob(
      'late',
      { containers, terminationGracePeriodSeconds: 1 },
      { activeDeadlineSeconds: 1, ttlSecondsAfterFinished: 1 },
    )
    const job = await finished('late')
    expect(job.status?.conditions).toMatchObject([{ type: 'Failed', reason: 'DeadlineExceeded' }])
    await until(() =>
      get(resources.jobs, 'late').then(
        () => false,
        () => true,
      ),
    )
  })
})

describe('the containers of a pod', () => {
  it('run init containers in order, then sidecars and main together, and end the sidecars last, in reverse', async () => {
    const say = (name: string) =>
      `trap 'echo ${name} ended >> /all/log; exit 0' TERM; echo ${name} started >> /all/log; while :; do sleep 0.02; done`
    const volumeMounts = [{ name: 'all', mountPath: '/all' }]
    await createPod('order', {
      restartPolicy: 'Never',
      volumes: [{ name: 'all', persistentVolumeClaim: { claimName: 'order' } }],
      initContainers: [
        sh('setup', 'echo setup >> /all/log', { volumeMounts }),
        sh('one', say('one'), {
          volumeMounts,
          restartPolicy: 'Always',
          startupProbe: { exec: { command: ['grep', '-q', 'one', '/all/log'] } },
        }),
        sh('two', say('two'), {
          volumeMounts,
          restartPolicy: 'Always',
          startupProbe: { exec: { command: ['grep', '-q', 'two', '/all/log'] } },
        }),
      ],
      containers: [sh('main', 'echo main >> /all/log', { volumeMounts })],
    })
    await api.client.create(resources.persistentVolumeClaims, {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'order', namespace },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    })
    const pod = await phase('order', 'Succeeded')
    await createPod('reader', {
      restartPolicy: 'Never',
      volumes: [{ name: 'all', persistentVolumeClaim: { claimName: 'order' } }],
      containers: [sh('main', 'cat /all/log', { volumeMounts })],
    })
    await phase('reader', 'Succeeded')
    expect(await logs('reader', 'main')).toBe('setup\none started\ntwo started\nmain\ntwo ended\none ended\n')
    expect(stateOf(pod, 'two')?.state.terminated?.exitCode).toBe(0)
    expect(pod.status?.conditions?.find((c) => c.type === 'Initialized')?.status).toBe('True')
    await remove(resources.persistentVolumeClaims, 'order')
    await until(async () => (await readdir(join(folder, 'node/claims', namespace))).length === 0)
  })

  it('never start when an init container failed', async () => {
    const containers = [sh('main', 'echo no')]
    await createPod('stuck', { restartPolicy: 'Never', initContainers: [sh('init', 'exit 2')], containers })
    const pod = await phase('stuck', 'Failed')
    expect(stateOf(pod, 'init')?.state.terminated?.exitCode).toBe(2)
    expect(stateOf(pod, 'main')?.state.waiting).toBeDefined()
  })

  it('are restarted at once the first time, then backed off, and the log of the last one is kept', async () => {
    await createPod('restarting', { restartPolicy: 'OnFailure', containers: [sh('main', 'echo run; exit 1')] })
    const pod = await until(async () => {
      const now = await get<Pod>(resources.pods, 'restarting')
      return stateOf(now, 'main')?.state.waiting?.reason === 'CrashLoopBackOff' && now
    })
    expect(stateOf(pod, 'main')).toMatchObject({ restartCount: 1, lastState: { terminated: { exitCode: 1 } } })
    expect(await logs('restarting', 'main', { previous: true })).toBe('run\n')
    await remove(resources.pods, 'restarting')
    await gone('restarting')
  })

  it('wait for an image that this node does not have, and for a Secret that does not exist yet', async () => {
    await createPod('waiting', {
      restartPolicy: 'Never',
      containers: [
        { name: 'foreign', image: 'docker.io/library/nginx:1' },
        sh('late', 'echo $KEY', { env: [{ name: 'KEY', valueFrom: { secretKeyRef: { name: 'later', key: 'key' } } }] }),
      ],
    })
    const reason = (name: string) => async () =>
      stateOf(await get<Pod>(resources.pods, 'waiting'), name)?.state.waiting?.reason
    await until(async () => (await reason('foreign')()) === 'ErrImageNeverPull')
    await until(async () => (await reason('late')()) === 'CreateContainerConfigError')
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'later', namespace },
      data: { key: btoa('found') },
    }
    await api.client.create(resources.secrets, secret)
    await until(async () => stateOf(await get<Pod>(resources.pods, 'waiting'), 'late')?.state.terminated)
    expect(await logs('waiting', 'late')).toBe('found\n')
    await remove(resources.pods, 'waiting')
    await gone('waiting')
  })

  it('are asked to end, then ended, when the pod is deleted, and leave nothing', async () => {
    const containers = [sh('deaf', 'trap "" TERM; while :; do sleep 0.1; done')]
    const created = await createPod('deleted', {
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 1,
      containers,
    })
    await phase('deleted', 'Running')
    await remove(resources.pods, 'deleted')
    expect((await get<Pod>(resources.pods, 'deleted')).metadata.deletionTimestamp).toBeDefined()
    await gone('deleted')
    const itsFolder = basename(podFolder(folder, created.metadata.uid))
    await until(async () => !(await readdir(join(folder, 'node/pods'))).includes(itsFolder))
    const again = await createPod('deleted', { restartPolicy: 'Never', containers: [sh('main', 'true')] })
    expect(again.metadata.uid).not.toBe(created.metadata.uid)
    await phase('deleted', 'Succeeded')
  })

  it('see their tokens, their pod and their projected volumes', async () => {
    await createPod(
      'facts',
      {
        restartPolicy: 'Never',
        securityContext: { runAsUser: 10001, runAsGroup: 10000, fsGroup: 10000 },
        volumes: [
          {
            name: 'all',
            projected: {
              sources: [
                { serviceAccountToken: { audience: 'k', path: 'token', expirationSeconds: 600 } },
                { downwardAPI: { items: [{ path: 'name', fieldRef: { fieldPath: 'metadata.name' } }] } },
              ],
            },
          },
        ],
        containers: [
          sh('main', 'cat /all/name; cut -d. -f2 /all/token | wc -l; echo; echo $IP', {
            volumeMounts: [{ name: 'all', mountPath: '/all' }],
            env: [{ name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }],
          }),
        ],
      },
      { app: 'facts' },
    )
    const pod = await phase('facts', 'Succeeded')
    expect(await logs('facts', 'main')).toBe(`facts1\n\n${pod.status?.podIP ?? ''}\n`)
    expect(pod.status?.podIP?.startsWith(prefix)).toBe(true)
  })

  it('reach a port of a sibling on loopback: the confined one, and the sibling that is not', async () => {
    const server =
      'require("http").createServer((_, r) => r.end("bridge")).listen(...process.env.LISTEN.split(":").reverse())'
    const client =
      'const f = () => require("http").get(process.env.URL, r => r.on("data", d => { console.log(String(d)) })).on("error", () => setTimeout(f, 20)); f()'
    await createPod('pair', {
      restartPolicy: 'Never',
      initContainers: [
        {
          name: 'bridge',
          image: 'open',
          restartPolicy: 'Always',
          args: [server],
          env: [{ name: 'LISTEN', value: '127.0.0.1:8088' }],
          ports: [{ containerPort: 8088 }],
        },
      ],
      containers: [
        { name: 'agent', image: 'forwarding', args: [client], env: [{ name: 'URL', value: 'http://127.0.0.1:8088/' }] },
      ],
    })
    await phase('pair', 'Succeeded')
    expect(await logs('pair', 'agent')).toBe('bridge\n')
  })

  it('cost few status writes', async () => {
    const seen: string[] = []
    const stop = new AbortController()
    const watching = (async () => {
      for await (const event of api.client.watch<Pod>(resources.pods, { namespace, signal: stop.signal })) {
        if (event.object.metadata.labels?.['job-name'] === 'counted' && event.type === 'MODIFIED')
          seen.push(event.object.status?.phase ?? '')
      }
    })()
    const sidecar = (name: string) =>
      sh(name, 'trap "exit 0" TERM; while :; do sleep 0.02; done', { restartPolicy: 'Always' })
    await createJob('counted', {
      initContainers: [sidecar('bridge'), sidecar('sandbox')],
      containers: [sh('agent', 'sleep 0.3')],
    })
    await finished('counted')
    stop.abort()
    await watching
    expect(seen.at(-1)).toBe('Succeeded')
    expect(seen.length).toBeLessThanOrEqual(5)
  })
})

describe('a Deployment behind a Service', () => {
  const webServer = `
    const server = require("http").createServer((_, r) => r.end(process.env.VERSION)).listen(8080, process.env.POD_IP)
    process.on("SIGTERM", () => server.close(() => process.exit(0)))`
  const deployment = (version: string): Partial<Deployment['spec']> => ({
    replicas: 2,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: {
        containers: [
          {
            name: 'web',
            image: 'open',
            args: [webServer],
            env: [
              { name: 'VERSION', value: version },
              { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
            ],
            ports: [{ name: 'http', containerPort: 8080 }],
            readinessProbe: { httpGet: { path: '/', port: 'http' }, periodSeconds: 1 },
          },
        ],
      },
    },
  })
  const settled = () =>
    until(async () => {
      const { status, metadata } = await get<Deployment>(resources.deployments, 'web')
      return (
        status?.observedGeneration === metadata.generation &&
        status?.updatedReplicas === 2 &&
        status.availableReplicas === 2 &&
        status.replicas === 2
      )
    })
  let clusterIP: string
  const ask = async () => (await fetch(`http://${clusterIP}:8080/`, { headers: { connection: 'close' } })).text()

  it('answers at its clusterIP once its pods are ready, and refuses before', async () => {
    const service = { selector: { app: 'web' }, ports: [{ name: 'web', port: 8080, targetPort: 'http' }] }
    const created = await api.client.create<KubeObject & { spec: { clusterIP: string } }>(resources.services, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', namespace },
      spec: service,
    })
    clusterIP = created.spec.clusterIP
    await expect(ask()).rejects.toThrow()
    await api.client.create(resources.deployments, {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web', namespace },
      spec: deployment('1'),
    })
    await settled()
    expect(await ask()).toBe('1')
  })

  it('rolls to a new version without a moment in which nobody answers', async () => {
    const answers = new Set<string>()
    let rolling = true
    const asking = (async () => {
      while (rolling) answers.add(await ask())
    })()
    await api.client.patch(resources.deployments, { namespace, name: 'web' }, { spec: deployment('2') })
    await settled()
    rolling = false
    await asking
    expect([...answers].sort()).toEqual(['1', '2'])
    expect(await ask()).toBe('2')
  })

  it('goes on with the same pods when the node starts again', async () => {
    const uids = async () =>
      (await api.client.list<Pod>(resources.pods, { namespace, labelSelector: 'app=web' })).items
        .map((p) => p.metadata.uid)
        .sort()
    const before = await uids()
    await node.close()
    node = await start()
    await settled()
    await until(() =>
      ask().then(
        (answer) => answer === '2',
        () => false,
      ),
    )
    expect(await uids()).toEqual(before)
    const [pod] = (await api.client.list<Pod>(resources.pods, { namespace, labelSelector: 'app=web' })).items
    expect(pod && stateOf(pod, 'web')?.restartCount).toBe(1)
  })

  it('is replaced when a pod is deleted, and ends with the Deployment', async () => {
    const list = async () => (await api.client.list<Pod>(resources.pods, { namespace, labelSelector: 'app=web' })).items
    const [first] = await list()
    await remove(resources.pods, first?.metadata.name ?? '')
    await gone(first?.metadata.name ?? '')
    await settled()
    await remove(resources.deployments, 'web')
    await until(async () => (await list()).length === 0)
    await expect(ask()).rejects.toThrow()
  })
})

describe('when the node is gone in the middle', () => {
  it('a pod that may not run twice has failed, and its Job knows', async () => {
    await createJob('interrupted', { containers: [sh('main', 'sleep 60')] })
    const pod = await until(() =>
      podOf('interrupted').then(
        (p) => p.status?.phase === 'Running' && p,
        () => false,
      ),
    )
    await node.close()
    node = await start()
    await finished('interrupted')
    const after = await get<Pod>(resources.pods, pod.metadata.name)
    expect(after.status?.phase).toBe('Failed')
    expect(stateOf(after, 'main')?.state.terminated).toMatchObject({ exitCode: 137, reason: 'ContainerStatusUnknown' })
    expect((await stat(join(folder, 'node/pods'))).isDirectory()).toBe(true)
  })
})
