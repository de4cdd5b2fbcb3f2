import { type Job, jobs, type Pod, pods } from '#core/kube'
import { type Figure, figure, median, type Skip } from './figures.ts'
import type { Subject } from './subject.ts'

const times = 12

/** A container of a bare Job. */
interface Program {
  image: string
  command: string[]
}

/** Programs that cost nothing to start. */
const sleep = (seconds: string): Program => ({ image: 'k8sclaw.io/host', command: ['/bin/sleep', seconds] })
/** Programs that are Node and nothing else, in the image of the agent. */
const node = (text: string): Program => ({ image: 'k8sclaw/agent', command: ['/opt/k8sclaw/node', '-e', text] })

/**
 * coldRun: AgentRun created to the agent's first model request, as the bridge recorded it. Two floors are measured
 * beside it. Its own is a bare Job with a native sidecar and nothing but `sleep` in it, created to seen running;
 * coldRunOverNode holds the same runs against a bare Job of the pod's shape, two sidecars and a main container, whose
 * programs are empty Node processes, created to the first line of the last of them.
 */
export async function coldRun(subject: Subject): Promise<Record<'coldRun' | 'coldRunOverNode', Figure | Skip>> {
  const floors: number[] = []
  const nodeFloors: number[] = []
  const runs: number[] = []
  for (let i = 0; i < times; i++) {
    floors.push(await seenRunning(subject, `bench-floor-${i}`))
    nodeFloors.push(await nodeRunning(subject, `bench-node-${i}`))
    runs.push(await firstModelRequest(subject, `bench-cold-${i}`))
  }
  return {
    coldRun: figure('ms', runs, median(floors)),
    coldRunOverNode: figure('ms', runs, median(nodeFloors)),
  }
}

async function firstModelRequest(subject: Subject, name: string): Promise<number> {
  const { createdAt } = await subject.perform(name, {})
  const events = await subject.events(name)
  const called = events.find(({ type, data }) => type === 'called' && (data.call as { tool?: string }).tool === 'model')
  if (!called) throw new Error(`the run ${name} asked no model`)
  return Date.parse(String(called.data.at)) - createdAt
}

async function seenRunning(subject: Subject, name: string): Promise<number> {
  const { seen } = await subject.watch<Pod>(pods, (pod) => mainState(pod, name)?.running !== undefined)
  const createdAt = await createJob(subject, name, [sleep('60')], sleep('1'))
  const { at } = await seen
  await subject.kube.delete(jobs, { name, namespace: 'default' })
  return at - createdAt
}

async function nodeRunning(subject: Subject, name: string): Promise<number> {
  const { seen } = await subject.watch<Pod>(pods, (pod) => mainState(pod, name)?.terminated !== undefined)
  const idle = node('setInterval(() => {}, 60_000)')
  const createdAt = await createJob(subject, name, [idle, idle], node('console.log(Date.now())'))
  const { object } = await seen
  const at = Number(await subject.platform.kubectl(['logs', object.metadata.name, '-c', 'main']))
  await subject.kube.delete(jobs, { name, namespace: 'default' })
  return at - createdAt
}

function mainState({ metadata, status }: Pod, job: string) {
  if (metadata.labels?.['job-name'] !== job) return undefined
  return status?.containerStatuses?.find((container) => container.name === 'main')?.state
}

/** Creates it; resolves with the time at which the request was sent. */
async function createJob(subject: Subject, name: string, sidecars: Program[], main: Program): Promise<number> {
  const createdAt = Date.now()
  await subject.kube.create<Job>(jobs, {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, namespace: 'default' },
    spec: {
      backoffLimit: 0,
      template: {
        spec: {
          restartPolicy: 'Never',
          terminationGracePeriodSeconds: 1,
          initContainers: sidecars.map((sidecar, i) => ({ name: `sidecar-${i}`, restartPolicy: 'Always', ...sidecar })),
          containers: [{ name: 'main', ...main }],
        },
      },
    },
  })
  return createdAt
}
