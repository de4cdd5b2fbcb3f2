import { readFile } from 'node:fs/promises'
import { type AgentRun, agentRuns, isTerminal } from '#core/kinds'
import { Informer, namespaces } from '#core/kube'
import { kubernetesAssets } from '../test/kubernetes/assets.ts'
import { type ControlPlane, startControlPlane } from '../test/support/control-plane.ts'
import { instance, run } from '../test/support/objects.ts'
import { type CpuTimes, cpuBetween, cpuTimes } from './cpu.ts'
import { type Bench, type Figure, figure, median, quantile, reasonOf, type Skip } from './figures.ts'
import { residentMiB } from './resident.ts'

const atOnce = 100
const rounds = 3
/** Runs that are over and still there, where the controller's memory is looked at; fewer where they take longer to make. */
const finishedRuns = 5_000
const fillMs = 150_000
/** Goals: 50 runs a second, none later than 3 medians, what two processors have for each of 50, 8 writes, 300 MB. */
const goals = { runsPerSecond: 50, latestRun: 3, cpuPerRun: 40, apiWritesPerRun: 8, rssController: 300 }

/** What the platform's programs are called among the processes; the rest is Kubernetes, and the bench itself. */
const ours = ['controller.mjs', 'webhook.mjs', 'apiserver.mjs', 'gateway.mjs', 'database.mjs', 'nats-server']

/** Requests of an API server that change what it stores; reviews and tokens are asked for by `create`, too. */
const writes = ['create', 'update', 'patch', 'delete', 'deletecollection']
const asked = ['tokenreviews', 'subjectaccessreviews']

/**
 * runsPerSecond, latestRun, cpuPerRun, apiWritesPerRun, rssController: the platform beside a real kube-apiserver, controller manager and
 * scheduler, with a node whose pods are no processes. Starting containers is not in these figures; the API server, etcd
 * and all the rest share this machine's processors with us, and are.
 */
export const controlPlane: Bench = {
  figures: ['runsPerSecond', 'latestRun', 'cpuPerRun', 'apiWritesPerRun', 'rssController'],
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
async function throughput(
  plane: ControlPlane,
): Promise<Record<'runsPerSecond' | 'latestRun' | 'cpuPerRun' | 'apiWritesPerRun', Figure | Skip>> {
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
  const latest: number[] = []
  const perRun: number[] = []
  const used: CpuTimes[] = []
  // The first round warms everybody up, here and there.
  for (let round = 0; round <= rounds; round++) {
    const names = Array.from({ length: atOnce }, (_, i) => `bench-${round}-${i}`)
    used.push(cpuTimes())
    const startedAt = Date.now()
    await Promise.all(names.map((name) => plane.admin.create(agentRuns, run(name, 'bench') as AgentRun)))
    while (!names.every((name) => done.has(name))) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    if (round === 0) continue
    const took = names.map((name) => (done.get(name) ?? 0) - startedAt)
    const longest = Math.max(...took)
    const endedAt = startedAt + longest
    rates.push((1_000 * atOnce) / longest)
    latest.push(longest / median(took))
    process.stderr.write(`latestRun: of ${atOnce} the first after ${Math.min(...took)} ms, `)
    process.stderr.write(`p50 ${median(took)}, p99 ${quantile(took, 0.99)}, the last after ${longest}\n`)
    perRun.push((await writesBetween(plane, startedAt, endedAt + settleMs)) / atOnce)
  }
  used.push(cpuTimes())
  stop.abort()
  await watching
  return {
    runsPerSecond: figure('1/s', rates, goals.runsPerSecond),
    latestRun: figure('medians', latest, goals.latestRun),
    cpuPerRun: cpuOf(used),
    apiWritesPerRun: figure('writes', perRun, goals.apiWritesPerRun),
  }
}

/** Processor time of our programs for each run of the rounds after the first, and on stderr that of every program. */
function cpuOf(used: readonly CpuTimes[]): Figure | Skip {
  const perRound = used.slice(1).flatMap((before, i) => {
    const after = used[i + 2]
    return after ? [new Map(cpuBetween(before, after).map(([name, ms]) => [name, ms / atOnce]))] : []
  })
  const samples = perRound.map((round) => ours.reduce((sum, name) => sum + (round.get(name) ?? 0), 0))
  if (median(samples) === 0) return { skipped: 'this machine does not tell of the processor time of others' }
  const names = [...new Set(perRound.flatMap((round) => [...round.keys()]))]
  const each = names.map((name) => `${name} ${median(perRound.map((round) => round.get(name) ?? 0)).toFixed(1)}`)
  process.stderr.write(`cpuPerRun: ${each.join(', ')} ms\n`)
  return figure('ms', samples, goals.cpuPerRun)
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
  const until = Date.now() + fillMs
  let there = (rounds + 1) * atOnce
  for (; there < finishedRuns && Date.now() < until; there += atOnce) {
    await Promise.all(Array.from({ length: atOnce }, (_, j) => add(there + j)))
  }
  process.stderr.write(`rssController: beside ${there} runs\n`)
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
