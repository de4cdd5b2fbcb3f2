import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type KubeObject, resources } from '#localkube/api'
import type { Deployment, Pod } from './objects.ts'
import { podFolder } from './pod-host.ts'
import { namespace, sh, statusOf, TestNode, until } from './testing.ts'

let test: TestNode
beforeAll(async () => {
  test = await TestNode.start('127.91.')
})
afterAll(() => test.close())

/** The only pod of a Job. */
async function podOf(job: string): Promise<Pod> {
  const [pod] = await test.podsWith(`job-name=${job}`)
  if (!pod) throw new Error(`no pod of ${job}`)
  return pod
}

describe('the node', () => {
  it('says in the API whether it is ready and whether it isolates', async () => {
    const { status } = await test.api.client.get<
      KubeObject & { status: { conditions: { type: string; status: string }[] } }
    >(resources.nodes, { name: 'localkube' })
    const condition = (type: string) => status.conditions.find((c) => c.type === type)?.status
    expect(condition('Ready')).toBe('True')
    expect(condition('Isolated')).toBe(test.node.isolation === 'bubblewrap' ? 'True' : 'False')
  })
})

describe('a Job', () => {
  it('runs its container to the end, with its output kept', async () => {
    await test.createJob('simple', {
      containers: [sh('main', 'echo "hello $WHO"', { env: [{ name: 'WHO', value: 'world' }] })],
    })
    const job = await test.finished('simple')
    expect(job.status).toMatchObject({ succeeded: 1, active: 0, conditions: [{ type: 'Complete', status: 'True' }] })
    const pod = await podOf('simple')
    expect(pod.metadata.labels).toMatchObject({ 'batch.kubernetes.io/controller-uid': job.metadata.uid })
    expect(await test.logs(pod.metadata.name, 'main')).toBe('hello world\n')
    await test.remove(resources.jobs, 'simple')
    await test.gone(resources.pods, pod.metadata.name)
  })

  it('fails with its pod, which says how it ended', async () => {
    await test.createJob('failing', { containers: [sh('main', 'exit 3')] })
    const job = await test.finished('failing')
    expect(job.status).toMatchObject({ failed: 1, conditions: [{ type: 'Failed', reason: 'BackoffLimitExceeded' }] })
    const pod = await podOf('failing')
    expect(pod.status?.phase).toBe('Failed')
    expect(statusOf(pod, 'main')?.state.terminated).toMatchObject({ exitCode: 3, reason: 'Error' })
  })

  it('is ended at its deadline, and removed after its time to live', async () => {
    const containers = [sh('main', 'sleep 60')]
    await test.createJob(
      'late',
      { containers, terminationGracePeriodSeconds: 1 },
      { activeDeadlineSeconds: 1, ttlSecondsAfterFinished: 1 },
    )
    const job = await test.finished('late')
    expect(job.status?.conditions).toMatchObject([{ type: 'Failed', reason: 'DeadlineExceeded' }])
    await until(() =>
      test.get(resources.jobs, 'late').then(
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
    await test.createPod('order', {
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
    await test.api.client.create(resources.persistentVolumeClaims, {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'order', namespace },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    })
    const pod = await test.phase('order', 'Succeeded')
    await test.createPod('reader', {
      restartPolicy: 'Never',
      volumes: [{ name: 'all', persistentVolumeClaim: { claimName: 'order' } }],
      containers: [sh('main', 'cat /all/log', { volumeMounts })],
    })
    await test.phase('reader', 'Succeeded')
    expect(await test.logs('reader', 'main')).toBe('setup\none started\ntwo started\nmain\ntwo ended\none ended\n')
    expect(statusOf(pod, 'two')?.state.terminated?.exitCode).toBe(0)
    expect(pod.status?.conditions?.find((c) => c.type === 'Initialized')?.status).toBe('True')
    await test.remove(resources.persistentVolumeClaims, 'order')
    await until(async () => (await readdir(join(test.folder, 'node/claims', namespace))).length === 0)
  })

  it('never start when an init container failed', async () => {
    const containers = [sh('main', 'echo no')]
    await test.createPod('stuck', { restartPolicy: 'Never', initContainers: [sh('init', 'exit 2')], containers })
    const pod = await test.phase('stuck', 'Failed')
    expect(statusOf(pod, 'init')?.state.terminated?.exitCode).toBe(2)
    expect(statusOf(pod, 'main')?.state.waiting).toBeDefined()
  })

  it('are restarted at once the first time, then backed off, and the log of the last one is kept', async () => {
    await test.createPod('restarting', { restartPolicy: 'OnFailure', containers: [sh('main', 'echo run; exit 1')] })
    const pod = await until(async () => {
      const now = await test.pod('restarting')
      return statusOf(now, 'main')?.state.waiting?.reason === 'CrashLoopBackOff' && now
    })
    expect(statusOf(pod, 'main')).toMatchObject({ restartCount: 1, lastState: { terminated: { exitCode: 1 } } })
    expect(await test.logs('restarting', 'main', { previous: true })).toBe('run\n')
    await test.remove(resources.pods, 'restarting')
    await test.gone(resources.pods, 'restarting')
  })

  it('wait for an image that this node does not have, and for a Secret that does not exist yet', async () => {
    await test.createPod('waiting', {
      restartPolicy: 'Never',
      containers: [
        { name: 'foreign', image: 'docker.io/library/nginx:1' },
        sh('late', 'echo $KEY', { env: [{ name: 'KEY', valueFrom: { secretKeyRef: { name: 'later', key: 'key' } } }] }),
      ],
    })
    const reason = (name: string) => async () => statusOf(await test.pod('waiting'), name)?.state.waiting?.reason
    await until(async () => (await reason('foreign')()) === 'ErrImageNeverPull')
    await until(async () => (await reason('late')()) === 'CreateContainerConfigError')
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'later', namespace },
      data: { key: btoa('found') },
    }
    await test.api.client.create(resources.secrets, secret)
    await until(async () => statusOf(await test.pod('waiting'), 'late')?.state.terminated)
    expect(await test.logs('waiting', 'late')).toBe('found\n')
    await test.remove(resources.pods, 'waiting')
    await test.gone(resources.pods, 'waiting')
  })

  it('are asked to end, then ended, when the pod is deleted, and leave nothing', async () => {
    const containers = [sh('deaf', 'trap "" TERM; while :; do sleep 0.1; done')]
    const created = await test.createPod('deleted', {
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 1,
      containers,
    })
    await test.phase('deleted', 'Running')
    await test.remove(resources.pods, 'deleted')
    expect((await test.pod('deleted')).metadata.deletionTimestamp).toBeDefined()
    await test.gone(resources.pods, 'deleted')
    const itsFolder = basename(podFolder('', created.metadata.uid))
    await until(async () => !(await readdir(join(test.folder, 'node/pods'))).includes(itsFolder))
    const again = await test.createPod('deleted', { restartPolicy: 'Never', containers: [sh('main', 'true')] })
    expect(again.metadata.uid).not.toBe(created.metadata.uid)
    await test.phase('deleted', 'Succeeded')
  })

  it('see their tokens, their pod and their projected volumes', async () => {
    await test.createPod(
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
    const pod = await test.phase('facts', 'Succeeded')
    expect(await test.logs('facts', 'main')).toBe(`facts1\n\n${pod.status?.podIP ?? ''}\n`)
    expect(pod.status?.podIP?.startsWith(test.prefix)).toBe(true)
  })

  it('reach a port of a sibling on loopback: the confined one, and the sibling that is not', async () => {
    const server =
      'require("http").createServer((_, r) => r.end("bridge")).listen(...process.env.LISTEN.split(":").reverse())'
    const client =
      'const f = () => require("http").get(process.env.URL, r => r.on("data", d => { console.log(String(d)) })).on("error", () => setTimeout(f, 20)); f()'
    await test.createPod('pair', {
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
    await test.phase('pair', 'Succeeded')
    expect(await test.logs('pair', 'agent')).toBe('bridge\n')
  })

  it('cost few status writes', async () => {
    const seen: string[] = []
    const stop = new AbortController()
    const watching = (async () => {
      for await (const event of test.api.client.watch<Pod>(resources.pods, { namespace, signal: stop.signal })) {
        if (event.object.metadata.labels?.['job-name'] === 'counted' && event.type === 'MODIFIED')
          seen.push(event.object.status?.phase ?? '')
      }
    })()
    const sidecar = (name: string) =>
      sh(name, 'trap "exit 0" TERM; while :; do sleep 0.02; done', { restartPolicy: 'Always' })
    await test.createJob('counted', {
      initContainers: [sidecar('bridge'), sidecar('sandbox')],
      containers: [sh('agent', 'sleep 0.3')],
    })
    await test.finished('counted')
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
      const { status, metadata } = await test.get<Deployment>(resources.deployments, 'web')
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
    const created = await test.api.client.create<KubeObject & { spec: { clusterIP: string } }>(resources.services, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', namespace },
      spec: service,
    })
    clusterIP = created.spec.clusterIP
    await expect(ask()).rejects.toThrow()
    await test.api.client.create(resources.deployments, {
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
    await test.api.client.patch(resources.deployments, { namespace, name: 'web' }, { spec: deployment('2') })
    await settled()
    rolling = false
    await asking
    expect([...answers].sort()).toEqual(['1', '2'])
    expect(await ask()).toBe('2')
  })

  it('goes on with the same pods when the node starts again', async () => {
    const uids = async () =>
      (await test.api.client.list<Pod>(resources.pods, { namespace, labelSelector: 'app=web' })).items
        .map((p) => p.metadata.uid)
        .sort()
    const before = await uids()
    await test.restart()
    await settled()
    await until(() =>
      ask().then(
        (answer) => answer === '2',
        () => false,
      ),
    )
    expect(await uids()).toEqual(before)
    const [pod] = (await test.api.client.list<Pod>(resources.pods, { namespace, labelSelector: 'app=web' })).items
    expect(pod && statusOf(pod, 'web')?.restartCount).toBe(1)
  })

  it('is replaced when a pod is deleted, and ends with the Deployment', async () => {
    const list = async () =>
      (await test.api.client.list<Pod>(resources.pods, { namespace, labelSelector: 'app=web' })).items
    const [first] = await list()
    await test.remove(resources.pods, first?.metadata.name ?? '')
    await test.gone(resources.pods, first?.metadata.name ?? '')
    await settled()
    await test.remove(resources.deployments, 'web')
    await until(async () => (await list()).length === 0)
    await expect(ask()).rejects.toThrow()
  })
})

describe('when the node is gone in the middle', () => {
  it('a pod that may not run twice has failed, and its Job knows', async () => {
    await test.createJob('interrupted', { containers: [sh('main', 'sleep 60')] })
    const pod = await until(() =>
      podOf('interrupted').then(
        (p) => (p.status?.phase === 'Running' ? p : undefined),
        () => undefined,
      ),
    )
    await test.restart()
    await test.finished('interrupted')
    const after = await test.pod(pod.metadata.name)
    expect(after.status?.phase).toBe('Failed')
    expect(statusOf(after, 'main')?.state.terminated).toMatchObject({ exitCode: 137, reason: 'ContainerStatusUnknown' })
  })
})
