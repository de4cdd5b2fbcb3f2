import type { ClawInstance, Condition, KubeObject } from '#core/kinds'
import { controllerOf, type Informer, type Job, type Pod } from '#core/kube'
import { canaryJobName, canaryRun, checkedAnnotation } from './job.ts'
import { exitCodes } from './probe.ts'

/** The canary of a namespace as the API server has it. */
export interface Canary {
  job: Job | undefined
  pod: Pod | undefined
}

/** The canary among Jobs and pods; a pod counts only where that very Job is its controller. */
export function canaryOf(caches: { jobs: Informer<Job>; pods: Informer<Pod> }, namespace: string): Canary {
  const job = caches.jobs.get(`${namespace}/${canaryJobName}`)
  const pod = caches.pods
    .byIndex('run', canaryRun)
    .find((one) => job && one.metadata.namespace === namespace && controllerOf(one)?.uid === job.metadata.uid)
  return { job, pod }
}

/** What a finished canary says about the isolation of its namespace. */
export type CanaryVerdict = Pick<Condition, 'status' | 'reason' | 'message'>

/** Undefined while there is none, or while it looks. */
export function canaryVerdict({ job, pod }: Canary): CanaryVerdict | undefined {
  const ended = pod?.status?.containerStatuses?.[0]?.state?.terminated
  if (!ended) {
    const failure = job?.status?.conditions?.find(({ type, status }) => type === 'Failed' && status === 'True')
    return failure && unknown(`the canary did not end: ${failure.reason ?? ''} ${failure.message ?? ''}`.trim())
  }
  const message = printable(ended.message ?? '')
  if (ended.exitCode === exitCodes.isolated) return { status: 'True', reason: 'Isolated', message }
  if (ended.exitCode === exitCodes.open) return { status: 'False', reason: 'NetworkOpen', message }
  return unknown(message || `the canary ended with exit code ${ended.exitCode}`)
}

function unknown(message: string): CanaryVerdict {
  return { status: 'Unknown', reason: 'NotChecked', message }
}

/** Whoever may run pods in the namespace may have written it. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 512)
}

export interface CanaryFacts extends Canary {
  now: Date
  /** The instances of the namespace. */
  instances: readonly ClawInstance[]
  /** All NetworkPolicies of the namespace, because they add up, as one text; undefined until ours is among them. */
  policies: string | undefined
}

export type CanaryStep =
  | { do: 'nothing' }
  | { do: 'create'; owner: ClawInstance; checks: string }
  | { do: 'delete'; uid: string | undefined }
  | { do: 'leave'; message: string }
  | { do: 'wait'; forMs: number }

const everyMs = 60 * 60_000
/** How soon again, where a canary could not say anything. */
const retryMs = 5 * 60_000

/** What to do for a namespace: one canary an hour, and a new one whenever the NetworkPolicies are not those it saw. */
export function decideCanary(facts: CanaryFacts): CanaryStep {
  const { now, instances, policies, job, pod } = facts
  const owner = instances.find(({ metadata }) => !metadata.deletionTimestamp)
  // What is left over goes with its owner.
  if (!owner || policies === undefined) return { do: 'nothing' }
  if (!job) return { do: 'create', owner, checks: policies }
  if (job.metadata.deletionTimestamp) return { do: 'nothing' }
  if (!job.metadata.ownerReferences?.some(({ kind }) => kind === owner.kind)) {
    return { do: 'leave', message: `Job ${job.metadata.name} exists and does not belong to a ClawInstance` }
  }
  const outdated = job.metadata.annotations?.[checkedAnnotation] !== policies
  if (outdated) return { do: 'delete', uid: job.metadata.uid }
  const verdict = canaryVerdict({ job, pod })
  if (!verdict) return { do: 'nothing' }
  const age = now.getTime() - Date.parse(job.metadata.creationTimestamp ?? now.toISOString())
  const left = (verdict.status === 'Unknown' ? retryMs : everyMs) - age
  return left > 0 ? { do: 'wait', forMs: left } : { do: 'delete', uid: job.metadata.uid }
}

/** The NetworkPolicies of a namespace as they stand, for comparison. */
export function fingerprint(policies: readonly KubeObject[]): string {
  return policies
    .map(({ metadata }) => `${metadata.uid}/${metadata.generation ?? 0}`)
    .toSorted()
    .join(' ')
}
