import { ClawError } from '#core/errors'
import type { ChannelAddress, RunAddress } from '#core/identity'
import { type AgentRun, agentRuns, apiVersion, type Effective, isTerminal } from '#core/kinds'
import { controllerOf, type Job, jobs, type Kube, type Pod, pods, type TokenUser } from '#core/kube'
import { addressOfRun, identityAudience, runServiceAccount } from '../resources/job.ts'
import { channelOf } from './channel-of.ts'

export type Caller =
  | { kind: 'run'; address: RunAddress; name: string; attempt: number; effective: Effective }
  | { kind: 'channel'; address: ChannelAddress }
  | { kind: 'gateway' }
  | { kind: 'apiserver' }

const programs: Record<string, Caller> = {
  'k8sclaw-gateway': { kind: 'gateway' },
  'k8sclaw-apiserver': { kind: 'apiserver' },
}

/**
 * Who holds this token. A program of ours is known by its service account; a run by its pod, read live and followed by
 * uids to the Job and the AgentRun, because anyone who may create pods in a namespace may run one as `k8sclaw-run`; a
 * channel likewise, to its ClawInstance.
 * Throws `unauthenticated` for a token of another audience, `forbidden` for everyone else.
 */
export async function whoCalls(kube: Kube, token: string, systemNamespace: string): Promise<Caller> {
  const user = await kube.tokenReview(token, [identityAudience])
  if (!user.authenticated) throw new ClawError('unauthenticated', 'the token is not one for this endpoint')
  const [, namespace, account] = user.username.match(/^system:serviceaccount:([^:]+):([^:]+)$/) ?? []
  if (!namespace || !account) throw forbidden('only service accounts have an identity here')
  const program = namespace === systemNamespace && Object.hasOwn(programs, account) ? programs[account] : undefined
  if (program) return program
  const pod = await podOf(kube, user, namespace)
  if (account === runServiceAccount) return await runOf(kube, pod, namespace)
  return { kind: 'channel', address: await channelOf(kube, pod, account) }
}

async function podOf(kube: Kube, user: TokenUser, namespace: string): Promise<Pod> {
  const name = user.extra['authentication.kubernetes.io/pod-name']?.[0]
  const uid = user.extra['authentication.kubernetes.io/pod-uid']?.[0]
  if (!name || !uid) throw forbidden('the token is not bound to a pod')
  const pod = await kube.find<Pod>(pods, { name, namespace })
  if (pod?.metadata.uid !== uid) throw forbidden('the pod of the token is gone')
  return pod
}

async function runOf(kube: Kube, pod: Pod, namespace: string): Promise<Caller> {
  const ofPod = controllerOf(pod)
  if (ofPod?.kind !== 'Job' || ofPod.apiVersion !== 'batch/v1') throw forbidden('the pod does not belong to a Job')
  const [job, first] = await Promise.all([
    kube.find<Job>(jobs, { name: ofPod.name, namespace }),
    isFirst(kube, pod, ofPod.uid),
  ])
  if (job?.metadata.uid !== ofPod.uid) throw forbidden('the Job of the pod is gone')
  if (!first) throw forbidden('the Job has another pod, which is not younger')

  const ofJob = controllerOf(job)
  if (ofJob?.kind !== 'AgentRun' || ofJob.apiVersion !== apiVersion) throw forbidden('the Job does not belong to a run')
  const run = await kube.find<AgentRun>(agentRuns, { name: ofJob.name, namespace })
  if (run?.metadata.uid !== ofJob.uid) throw forbidden('the run is gone')
  // A person may well make a Job and name a run as its owner; the one that the run itself names is ours.
  if (run.status?.jobName !== job.metadata.name) throw forbidden('the run has another Job')
  if (isTerminal(run.status.phase)) throw forbidden('the run is over')
  const { effective, attempt } = run.status
  if (run.status.phase !== 'Running' || !effective) throw forbidden('the run has not been started')
  return { kind: 'run', address: addressOfRun(run), name: run.metadata.name, attempt: attempt ?? 1, effective }
}

/**
 * Anyone who may create pods may name any owner. A run's Job makes one pod and no second, so a pod that came later is
 * not its.
 */
async function isFirst(kube: Kube, pod: Pod, jobUid: string): Promise<boolean> {
  const labelSelector = `batch.kubernetes.io/controller-uid=${jobUid}`
  const { items } = await kube.list<Pod>(pods, { namespace: pod.metadata.namespace, labelSelector })
  const madeAt = ({ metadata }: Pod) => Date.parse(metadata.creationTimestamp ?? '')
  return items.every((other) => other.metadata.uid === pod.metadata.uid || madeAt(other) > madeAt(pod))
}

function forbidden(why: string): ClawError {
  return new ClawError('forbidden', why)
}
