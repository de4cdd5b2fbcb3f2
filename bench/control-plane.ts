import { readFile } from 'node:fs/promises'
import { type AgentRun, agentRuns, isTerminal } from '#core/kinds'
import { Informer, namespaces } from '#core/kube'
import { kubernetesAssets } from '../test/kubernetes/assets.ts'
import { type ControlPlane, startControlPlane } from '../test/support/control-plane.ts'
import { instance, run } from '../test/support/objects.ts'
import { type Bench, type Figure, figure, reasonOf, type Skip } from './figures.ts'
import { residentMiB } from './resident.ts'

const atOnce = 100
const rounds = 5
/** Runs that are over and still there, where the controller's memory is looked at. */
const finishedRuns = 5_000
/** Goals: 50 runs a second, 8 writes, 300 MB. */
const goals = { runsPerSecond: 50, apiWritesPerRun: 8, rssController: 300 }

/** Requests of an API server that change what it stores; reviews and tokens are asked for by `create`, too. */
const writes = ['create', 'update', 'patch', 'delete', 'deletecollection']
const asked = ['tokenreviews', 'subjectaccessreviews']

/**
 * runsPerSecond, apiWritesPerRun, rssController: the platform beside a real kube-apiserver, controller manager and
 * scheduler, with a node whose pods are no processes. Starting containers is not in these figures; the API server, etcd
 * and all the rest share this machine's processors with us, and are.
 */
export const controlPlane: Bench = {
  figures: ['runsPerSecond', 'apiWritesPerRun', 'rssController'],
  async take(wanted) {
    const skipped = kubernetesAssets()?.hasControllerManager
      ? undefined
      : { skipped: 'there is no Kubernetes on this machine: docs/kubernetes-tests.md says how to have one' }
    if (skipped) return Object.fromEntries(wanted.map((name) => [name, skipped]))
    const plane = await startControlPlane({ runs: 'simulated' })
    try {
      await plane.apply(instance('bench', {}, { maxConcurrentRuns: atOnce }))
      const taken: Record<string, Figure | Skip> = await throughput(plane)
      if (wanted.includes('rssController')) taken.rssController = await memory(plane).catch(skip)
      return taken
    } finally {
      await plane.close()
    }
  },
}

/** All runs of a round are created at once; it is over when the last of them shows as Succeeded. */
async function throughput(plane: ControlPlane): Promise<Record<'runsPerSecond' | 'apiWritesPerRun', Figure | Skip>> {
  const done = new Map<string, number>()
  const stop = new AbortController()
  const informer = new Informer<AgentRun>(plane.admin, agentRuns, { namespace: 'default' })
  let wake = () => {}
  const note = ({ metadata, status }: AgentRun) => {
    if (!isTerminal(status?.phase) || done.has(metadata.name)) return
    done.set(metadata.name, Date.now())
    wake()
  }
  informer.on({ add: note, update: note })
  const watching = informer.run(stop.signal)
  await informer.synced()
  const rates: number[] = []
  const perRun: number[] = []
  // The first round warms everybody up, here and there.
  for (let round = 0; round <= rounds; round++) {
    const names = Array.from({ length: atOnce }, (_, i) => `bench-${round}-${i}`)
    const startedAt = Date.now()
    await Promise.all(names.map((name) => plane.admin.create(agentRuns, run(name, 'bench') as AgentRun)))
    while (!names.every((name) => done.has(name))) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    if (round === 0) continue
    const endedAt = Math.max(...names.map((name) => done.get(name) ?? 0))
    rates.push((1_000 * atOnce) / (endedAt - startedAt))
    perRun.push((await writesBetween(plane, startedAt, endedAt + settleMs)) / atOnce)
  }
  stop.abort()
  await watching
  return {
    runsPerSecond: figure('1/s', rates, goals.runsPerSecond),
    apiWritesPerRun: figure('writes', perRun, goals.apiWritesPerRun),
  }
}

/** What is written after the last run is over belongs to it as well. */
const settleMs = 3_000

/** Writes of our programs by the audit log, but for leases, which come with time and not with runs. */
async function writesBetween({ kubernetes }: ControlPlane, from: number, to: number): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, to - Date.now())))
  const lines = (await readFile(kubernetes.auditLog, 'utf8')).trimEnd().split('\n')
  const events = lines.map((line) => JSON.parse(line) as AuditEvent)
  return events.filter(({ verb, user, objectRef, requestReceivedTimestamp: at }) => {
    const isOurs = user.username.startsWith('system:serviceaccount:k8sclaw-system:')
    const isWrite = writes.includes(verb) && !['leases', ...asked].includes(objectRef?.resource ?? '')
    return isOurs && isWrite && Date.parse(at) >= from && Date.parse(at) <= to
  }).length
}

interface AuditEvent {
  verb: string
  user: { username: string }
  objectRef?: { resource: string }
  requestReceivedTimestamp: string
}

/** The controller among thousands of finished runs, copies of one that really ran. */
async function memory(plane: ControlPlane): Promise<Figure | Skip> {
  const { status } = await plane.admin.get<AgentRun>(agentRuns, { namespace: 'default', name: 'bench-0-0' })
  const namespace = 'finished'
  await plane.admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
  const add = async (i: number) => {
    const name = `finished-${i}`
    // Of no instance, so that they wait until they are told that they are over.
    const object = { ...run(name, 'nobody'), metadata: { name, namespace } } as AgentRun
    await plane.admin.create(agentRuns, object)
    await plane.admin.patch(agentRuns, { namespace, name }, { status }, 'status')
  }
  for (let i = (rounds + 1) * atOnce; i < finishedRuns; i += atOnce) {
    await Promise.all(Array.from({ length: atOnce }, (_, j) => add(i + j)))
  }
  // The controller may have had its say about one in between.
  const { items } = await plane.admin.list<AgentRun>(agentRuns, { namespace })
  for (const { metadata } of items.filter((one) => !isTerminal(one.status?.phase)))
    await plane.admin.patch(agentRuns, metadata, { status }, 'status')
  const samples: number[] = []
  for (let i = 0; i < 10; i++) {
    samples.push(residentMiB(process.pid, 'controller'))
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
  return figure('MiB', samples, goals.rssController)
}

function skip(error: unknown): Skip {
  return { skipped: reasonOf(error) }
}
