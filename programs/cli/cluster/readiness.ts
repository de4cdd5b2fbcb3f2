import { setTimeout as delay } from 'node:timers/promises'
import { ClawError, errorMessage } from '#core/errors'
import { agentRuns, type KubeObject, newRun } from '#core/kinds'
import { type Kube, type Pod, pods } from '#core/kube'
import type { Manifest } from '../manifest-file.ts'
import { findObject } from './apply.ts'

/** A Deployment or a StatefulSet: what is said here of both is the same. */
interface Workload extends KubeObject {
  spec: { replicas?: number; selector: { matchLabels?: Record<string, string> } }
  status?: { observedGeneration?: number; replicas?: number; updatedReplicas?: number; availableReplicas?: number }
}

/** Milliseconds between two looks. */
const every = 1_000

/**
 * Waits until every Deployment and StatefulSet of the manifests has rolled out and an AgentRun would be admitted, which is asked by a dry
 * run. `say` is told each time what is still missing. Throws ClawError `timeout` that names it and what its pods say.
 */
export async function untilReady(
  kube: Kube,
  manifests: readonly Manifest[],
  timeoutMs: number,
  say: (sentence: string) => void,
): Promise<void> {
  const wanted = manifests.filter(({ kind }) => kind === 'Deployment' || kind === 'StatefulSet')
  const deadline = Date.now() + timeoutMs
  let last = ''
  for (;;) {
    const missing = (await Promise.all(wanted.map((one) => workloadMissing(kube, one)))).filter(Boolean)
    if (missing.length === 0) missing.push(await admissionMissing(kube))
    const sentence = missing.filter(Boolean).join('; ')
    if (!sentence) return
    if (Date.now() > deadline)
      throw new ClawError('timeout', `not ready after ${Math.round(timeoutMs / 1000)} s: ${sentence}`)
    if (sentence !== last) say(`waiting: ${sentence}`)
    last = sentence
    await delay(every)
  }
}

/** What it lacks, or nothing. */
async function workloadMissing(kube: Kube, manifest: Manifest): Promise<string> {
  const { name } = manifest.metadata
  const found = await findObject<Workload>(kube, manifest)
  if (!found) return `${name} is not there`
  const { replicas = 1 } = found.spec
  const status = found.status ?? {}
  const isCurrent = (status.observedGeneration ?? 0) >= (found.metadata.generation ?? 0)
  const available = isCurrent ? Math.min(status.updatedReplicas ?? 0, status.availableReplicas ?? 0) : 0
  if (available >= replicas) {
    const old = (status.replicas ?? 0) - (status.updatedReplicas ?? 0)
    return old > 0 ? `${name} still has ${old} of the last version` : ''
  }
  const reason = await podTrouble(kube, found)
  return `${name} has ${available} of ${replicas} available${reason && ` (${reason})`}`
}

/** What the first of its pods that is in trouble says: an image that is not there, a volume, a crash. */
async function podTrouble(kube: Kube, { metadata, spec }: Workload): Promise<string> {
  const labelSelector = Object.entries(spec.selector.matchLabels ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .join(',')
  const { items } = await kube.list<Pod>(pods, { namespace: metadata.namespace, labelSelector })
  for (const { status } of items) {
    const unscheduled = status?.conditions?.find((c) => c.type === 'PodScheduled' && c.status === 'False')
    if (unscheduled) return `${unscheduled.reason}: ${unscheduled.message}`
    for (const { state } of [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])]) {
      const waiting = state?.waiting
      if (waiting?.reason && waiting.reason !== 'ContainerCreating' && waiting.reason !== 'PodInitializing')
        return waiting.message ? `${waiting.reason}: ${waiting.message}` : waiting.reason
    }
  }
  return ''
}

/** Why an AgentRun would not be admitted, or nothing. Names no instance that must be there: such a run is Pending. */
async function admissionMissing(kube: Kube): Promise<string> {
  try {
    const run = newRun('default', { instance: 'install-check', task: 'be admitted' })
    const path = kube.collection(agentRuns, 'default')
    await kube.requestJson(path, { method: 'POST', query: { dryRun: 'All' }, body: run })
    return ''
  } catch (error) {
    return `an AgentRun is not admitted yet (${errorMessage(error)})`
  }
}
