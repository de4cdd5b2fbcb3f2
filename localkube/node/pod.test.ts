import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { resources } from '#localkube/api'
import type { Pod } from './objects.ts'
import { namespace, sh, statusOf, TestNode, until } from './testing.ts'

const test = await TestNode.start('127.93.')
afterAll(() => test.close())

const isReady = (pod: Pod) => pod.status?.conditions?.find((c) => c.type === 'Ready')?.status === 'True'
const exec = (script: string) => ({ exec: { command: ['sh', '-c', script] } })

describe('probes', () => {
  it('make a pod ready and unready, without restarting it', async () => {
    const readinessProbe = { ...exec('test -e /tmp/ready'), periodSeconds: 1, failureThreshold: 1 }
    const script = 'sleep 0.3; touch /tmp/ready; sleep 1.5; rm /tmp/ready; sleep 60'
    await test.createPod('ready', {
      containers: [sh('main', script, { readinessProbe })],
      terminationGracePeriodSeconds: 0,
    })
    expect(isReady(await test.phase('ready', 'Running'))).toBe(false)
    await until(async () => isReady(await test.pod('ready')))
    const pod = await until(async () => {
      const now = await test.pod('ready')
      return !isReady(now) && now
    })
    expect(statusOf(pod, 'main')?.restartCount).toBe(0)
    await test.remove(resources.pods, 'ready')
  })

  it('restart a container that is not alive', async () => {
    const livenessProbe = { ...exec('test ! -e /tmp/dead'), periodSeconds: 1, failureThreshold: 1 }
    await test.createPod('alive', {
      terminationGracePeriodSeconds: 1,
      containers: [
        sh('main', 'trap "" TERM; sleep 0.2; touch /tmp/dead; while :; do sleep 0.1; done', { livenessProbe }),
      ],
    })
    const pod = await until(async () => {
      const now = await test.pod('alive')
      return (statusOf(now, 'main')?.restartCount ?? 0) > 0 && now
    })
    expect(statusOf(pod, 'main')?.lastState.terminated?.exitCode).toBe(137)
    await test.remove(resources.pods, 'alive')
  })

  it('hold back what comes after a sidecar until that has started, and wait for an open port', async () => {
    const server = 'setTimeout(() => require("net").createServer().listen(7000, process.env.IP), 300)'
    await test.createPod('started', {
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 0,
      initContainers: [
        {
          name: 'side',
          image: 'open',
          restartPolicy: 'Always',
          args: [server],
          env: [{ name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }],
          ports: [{ name: 'door', containerPort: 7000 }],
          startupProbe: { tcpSocket: { port: 'door' }, periodSeconds: 1 },
        },
      ],
      containers: [sh('main', 'true')],
    })
    const pod = await test.phase('started', 'Succeeded')
    const began = (name: string) => Date.parse(statusOf(pod, name)?.state.terminated?.startedAt ?? '')
    expect(began('main')).toBeGreaterThanOrEqual(began('side'))
    expect(statusOf(pod, 'side')?.state.terminated).toBeDefined()
  })
})

describe('a pod', () => {
  it('is ended at its own deadline', async () => {
    await test.createPod('deadline', {
      restartPolicy: 'Never',
      activeDeadlineSeconds: 1,
      containers: [sh('main', 'sleep 60')],
    })
    const pod = await test.phase('deadline', 'Failed')
    expect(pod.status).toMatchObject({ reason: 'DeadlineExceeded' })
    expect(statusOf(pod, 'main')?.state.terminated?.exitCode).toBe(143)
  })

  it('fails with a reason where its program does not exist', async () => {
    const containers = [{ name: 'main', image: 'host', command: ['/no/such/program'] }]
    await test.createPod('absent', { restartPolicy: 'Never', containers })
    const pod = await test.phase('absent', 'Failed')
    expect(statusOf(pod, 'main')?.state.terminated?.exitCode).toBe(127)
    expect(await test.logs('absent', 'main')).toContain('/no/such/program')
  })

  it('sees a changed Secret, an optional ConfigMap that comes late, and its own changed labels', async () => {
    await test.createSecret('watched', { key: 'before' })
    const volumes = [
      { name: 'secret', secret: { secretName: 'watched' } },
      { name: 'later', configMap: { name: 'later', optional: true } },
      { name: 'self', downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
    ]
    const volumeMounts = [
      { name: 'secret', mountPath: '/secret' },
      { name: 'later', mountPath: '/later' },
      { name: 'self', mountPath: '/self' },
    ]
    const script =
      'until grep -q after /secret/key && grep -q new /self/labels && test -e /later/key; do sleep 0.05; done; echo seen'
    await test.createPod('watcher', {
      restartPolicy: 'Never',
      volumes,
      containers: [sh('main', script, { volumeMounts })],
    })
    await test.phase('watcher', 'Running')
    await test.api.client.patch(resources.secrets, { namespace, name: 'watched' }, { data: { key: btoa('after') } })
    const later = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'later', namespace }, data: { key: 'x' } }
    await test.api.client.create(resources.configMaps, later)
    await test.api.client.patch(resources.pods, { namespace, name: 'watcher' }, { metadata: { labels: { a: 'new' } } })
    await test.phase('watcher', 'Succeeded')
    expect(await test.logs('watcher', 'main')).toBe('seen\n')
  })

  it('keeps its volumes when a container starts again, also with the node', async () => {
    const volumeMounts = [{ name: 'v', mountPath: '/v' }]
    await test.createPod('keeping', {
      volumes: [{ name: 'v', emptyDir: {} }],
      terminationGracePeriodSeconds: 1,
      containers: [sh('main', 'echo run >> /v/log; wc -l < /v/log; exec sleep 60', { volumeMounts })],
    })
    await until(async () => (await test.logs('keeping', 'main')) === '1\n')
    await test.restart()
    await until(async () => (await test.logs('keeping', 'main')) === '2\n')
    expect(await test.logs('keeping', 'main', { previous: true })).toBe('1\n')
    await test.remove(resources.pods, 'keeping')
    await test.gone(resources.pods, 'keeping')
  })

  it('is followed by its log to the end of the container', async () => {
    const script = 'for i in 1 2 3; do echo $i; sleep 0.1; done'
    await test.createPod('spoken', { restartPolicy: 'Never', containers: [sh('main', script)] })
    await test.phase('spoken', 'Running')
    expect(await test.logs('spoken', 'main', { follow: true })).toBe('1\n2\n3\n')
  })

  it('has no log before it starts, and says so', async () => {
    await test.createPod('silent', { containers: [{ name: 'main', image: 'not/here' }] })
    await until(async () => statusOf(await test.pod('silent'), 'main')?.state.waiting?.reason === 'ErrImageNeverPull')
    expect(await test.logs('silent', 'main')).toContain('is waiting to start')
    await test.remove(resources.pods, 'silent')
  })
})

it('twenty pods at once all end well, and leave no process, no folder and no socket', async () => {
  const processes = async () => {
    const children = await readFile(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8')
    return children.trim().split(' ').filter(Boolean).length
  }
  const sockets = () => process.getActiveResourcesInfo().filter((name) => name === 'TCPServerWrap').length
  for (const pod of await test.podsWith('')) await test.remove(resources.pods, pod.metadata.name)
  await until(async () => (await test.podsWith('')).length === 0 && (await processes()) === 0)
  const socketsBefore = sockets()
  const names = Array.from({ length: 20 }, (_, i) => `crowd-${i}`)
  const sidecar = sh('side', 'trap "exit 0" TERM; while :; do sleep 0.05; done', {
    restartPolicy: 'Always',
    ports: [{ containerPort: 8088 }],
  })
  const main = { name: 'main', image: 'forwarding', args: ['console.log("done")'] }
  await Promise.all(names.map((name) => test.createJob(name, { initContainers: [sidecar], containers: [main] })))
  const jobs = await Promise.all(names.map((name) => test.finished(name)))
  expect(jobs.map((job) => job.status?.succeeded)).toEqual(names.map(() => 1))
  await Promise.all(names.map((name) => test.remove(resources.jobs, name)))
  await until(async () => (await test.podsWith('')).length === 0)
  await until(async () => (await readdir(join(test.folder, 'node/pods'))).length === 0)
  expect(await processes()).toBe(0)
  expect(sockets()).toBe(socketsBefore)
})

describe('where isolation is none', () => {
  let plain: TestNode
  beforeAll(async () => {
    plain = await TestNode.start('127.94.', 'none')
  })
  afterAll(() => plain.close())

  it('the node says so', async () => {
    expect(plain.node).toMatchObject({ isolation: 'none', isolationReason: expect.any(String) })
    const { status } = await plain.api.client.get(resources.nodes, { name: 'localkube' })
    expect(status).toMatchObject({
      conditions: expect.arrayContaining([expect.objectContaining({ type: 'Isolated', status: 'False' })]),
    })
  })

  it('containers find their volumes, one inside the other, and each other, by rewritten words', async () => {
    const volumes = [
      { name: 'ipc', emptyDir: {} },
      { name: 'input', emptyDir: {} },
    ]
    const both = [
      { name: 'ipc', mountPath: '/ipc' },
      { name: 'input', mountPath: '/ipc/input' },
    ]
    const env = [
      { name: 'DIR', value: '/ipc' },
      { name: 'INPUT', value: '/ipc/input' },
      { name: 'URL', value: 'http://127.0.0.1:8088/' },
      { name: 'LISTEN', value: '127.0.0.1:8088' },
    ]
    const server = `
      require("fs").writeFileSync(process.env.INPUT + "/task", "task")
      require("http").createServer((_, r) => r.end("bridge")).listen(...process.env.LISTEN.split(":").reverse())`
    const client = `
      const f = () => require("http").get(process.env.URL, r => r.on("data", d =>
        console.log(String(d), require("fs").readFileSync(process.env.DIR + "/input/task", "utf8")))).on("error", () => setTimeout(f, 20))
      f()`
    const ports = [{ containerPort: 8088 }]
    await plain.createJob('plain', {
      volumes,
      terminationGracePeriodSeconds: 1,
      initContainers: [
        { name: 'bridge', image: 'open', restartPolicy: 'Always', args: [server], env, ports, volumeMounts: both },
      ],
      containers: [{ name: 'agent', image: 'forwarding', args: [client], env, volumeMounts: both }],
    })
    await plain.finished('plain')
    const [pod] = await plain.podsWith('job-name=plain')
    expect(await plain.logs(pod?.metadata.name ?? '', 'agent')).toBe('bridge task\n')
  })
})
