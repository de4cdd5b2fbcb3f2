import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type AgentRun, isTerminal, type KubeObject } from '#core/kinds'
import type { TestPlatform } from './platform.ts'

export interface PodObject extends KubeObject {
  status?: { phase?: string; podIP?: string; conditions?: { type: string; status: string }[] }
}

/** Folder of a pod on this machine, as localkube/node lays it out. */
export function podFolder(platform: Pick<TestPlatform, 'dataDir'>, pod: KubeObject): string {
  return join(platform.dataDir, 'node', 'pods', (pod.metadata.uid ?? '').replaceAll('-', '').slice(0, 12))
}

/** The process of a container that runs now; undefined while there is none. */
export function pidOf(platform: Pick<TestPlatform, 'dataDir'>, pod: KubeObject, container: string): number | undefined {
  const record = join(podFolder(platform, pod), 'containers', `${container}.json`)
  if (!existsSync(record)) return undefined
  const { pid, exitCode } = JSON.parse(readFileSync(record, 'utf8')) as { pid: number; exitCode?: number }
  return exitCode === undefined ? pid : undefined
}

/** The program of a container itself, below what confines it where the machine has bubblewrap. */
export function programOf(platform: Pick<TestPlatform, 'dataDir'>, pod: KubeObject, container: string): number {
  let pid: number | undefined = pidOf(platform, pod, container)
  if (pid === undefined) throw new Error(`no process of ${pod.metadata.name}`)
  for (;;) {
    const [child]: string[] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
    if (!child) return pid
    pid = Number(child)
  }
}

/** The newest pod of a Deployment of the platform. */
export async function platformPod(platform: TestPlatform, name: string): Promise<PodObject> {
  const { items } = await platform.getJson<{ items: PodObject[] }>(
    'get',
    'pods',
    '-n',
    'k8sclaw-system',
    '-l',
    `app.kubernetes.io/name=${name}`,
  )
  const [pod] = items.filter((p) => !p.metadata.deletionTimestamp)
  if (!pod) throw new Error(`no pod of ${name}`)
  return pod
}

/** Waits until every pod of the platform is ready: after a kill, a container comes back with Kubernetes' back-off. */
export async function platformReady(platform: TestPlatform): Promise<void> {
  await platform.kubectl([
    'wait',
    'pods',
    '-n',
    'k8sclaw-system',
    '-l',
    'app.kubernetes.io/name!=k8sclaw-keys',
    '--for=condition=Ready',
    '--timeout=120s',
  ])
}

/** The pod of a run once all its containers run. */
export async function podOfRun(platform: TestPlatform, run: string): Promise<PodObject> {
  for (;;) {
    const { status } = await platform.getJson<AgentRun>('get', 'agentrun', run)
    if (isTerminal(status?.phase)) throw new Error(`run ${run} is over: ${JSON.stringify(status)}`)
    if (status?.jobName) {
      const selector = `job-name=${status.jobName}`
      const { items } = await platform.getJson<{ items: PodObject[] }>('get', 'pods', '-l', selector)
      const [pod] = items
      if (pod?.status?.phase === 'Running') return pod
    }
    await delay(50)
  }
}
