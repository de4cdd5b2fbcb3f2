import { type Job, jobs, type Pod, pods } from '#core/kube'
import { type Figure, figure, median, type Skip } from './figures.ts'
import type { Subject } from './subject.ts'

const times = 12

/**
 * coldRun: AgentRun created to the agent's first model request, as the bridge recorded it. Its floor is measured
 * beside it: a bare Job with a native sidecar and nothing but `sleep` in it, created to seen running.
 */
export async function coldRun(subject: Subject): Promise<Figure | Skip> {
  const floors: number[] = []
  const runs: number[] = []
  for (let i = 0; i < times; i++) {
    floors.push(await bareJob(subject, `bench-floor-${i}`))
    runs.push(await firstModelRequest(subject, `bench-cold-${i}`))
  }
  return figure('ms', runs, median(floors))
}

async function firstModelRequest(subject: Subject, name: string): Promise<number> {
  const { createdAt } = await subject.perform(name, {})
  const events = await subject.events(name)
  const called = events.find(({ type, data }) => type === 'called' && (data.call as { tool?: string }).tool === 'model')
  if (!called) throw new Error(`the run ${name} asked no model`)
  return Date.parse(String(called.data.at)) - createdAt
}

async function bareJob(subject: Subject, name: string): Promise<number> {
  const sleep = (container: string, seconds: string) => ({
    name: container,
    image: 'k8sclaw.io/host',
    command: ['/bin/sleep', seconds],
  })
  const { seen } = await subject.watch<Pod>(pods, ({ metadata, status }) => {
    const main = status?.containerStatuses?.find((container) => container.name === 'main')
    return metadata.labels?.['job-name'] === name && main?.state?.running !== undefined
  })
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
          initContainers: [{ ...sleep('sidecar', '60'), restartPolicy: 'Always' }],
          containers: [sleep('main', '1')],
        },
      },
    },
  })
  const { at } = await seen
  await subject.kube.delete(jobs, { name, namespace: 'default' })
  return at - createdAt
}
