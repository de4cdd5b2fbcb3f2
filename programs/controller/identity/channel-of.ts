import { ClawError } from '#core/errors'
import type { ChannelAddress } from '#core/identity'
import { apiVersion, type ClawInstance, clawInstances, type KubeObject, type Resource } from '#core/kinds'
import { controllerOf, deployments, type Kube, type Pod, pods, replicaSets } from '#core/kube'
import { addressOfChannel, channelLabel, channelName } from '../resources/channel.ts'
import { instanceLabel } from '../resources/job.ts'

/**
 * The channel that a pod is: followed by uids to its ReplicaSet, its Deployment and the ClawInstance, whose spec must list
 * a channel of which Deployment and service account bear the name. Throws `forbidden` for every other pod.
 */
export async function channelOf(kube: Kube, pod: Pod, account: string): Promise<ChannelAddress> {
  const set = await ownerOf(kube, pod, 'apps/v1', replicaSets)
  const deployment = await ownerOf(kube, set, 'apps/v1', deployments)
  const instance = await ownerOf<ClawInstance>(kube, deployment, apiVersion, clawInstances)
  const channel = instance.spec.channels?.find((one) => channelName(instance.metadata.name, one) === account)
  if (!channel || deployment.metadata.name !== account) throw forbidden('the instance has no such channel')
  if (!(await isFirst(kube, pod, set, { instance: instance.metadata.name, channel: channel.name })))
    throw forbidden('the ReplicaSet has another pod, which is not younger')
  return addressOfChannel(instance, channel)
}

async function ownerOf<T extends KubeObject>(kube: Kube, child: KubeObject, apiVersion: string, resource: Resource) {
  const owner = controllerOf(child)
  const { namespace } = child.metadata
  if (owner?.kind !== resource.kind || owner.apiVersion !== apiVersion)
    throw forbidden(`the ${child.kind} does not belong to a ${resource.kind}`)
  const found = await kube.find<T>(resource, { name: owner.name, namespace })
  if (found?.metadata.uid !== owner.uid) throw forbidden(`the ${resource.kind} of the ${child.kind} is gone`)
  return found
}

/**
 * Anyone who may create pods may name any owner. A channel has one pod at a time, so one that came while another was
 * there is not it.
 */
async function isFirst(
  kube: Kube,
  pod: Pod,
  set: KubeObject,
  { instance, channel }: { instance: string; channel: string },
): Promise<boolean> {
  const labelSelector = `${instanceLabel}=${instance},${channelLabel}=${channel}`
  const { items } = await kube.list<Pod>(pods, { namespace: pod.metadata.namespace, labelSelector })
  const madeAt = ({ metadata }: Pod) => Date.parse(metadata.creationTimestamp ?? '')
  const ending = ({ metadata, status }: Pod) =>
    metadata.deletionTimestamp !== undefined || status?.phase === 'Failed' || status?.phase === 'Succeeded'
  const rivals = items.filter(
    (other) =>
      other.metadata.uid !== pod.metadata.uid && controllerOf(other)?.uid === set.metadata.uid && !ending(other),
  )
  return items.length > 0 && !ending(pod) && rivals.every((other) => madeAt(other) > madeAt(pod))
}

function forbidden(why: string): ClawError {
  return new ClawError('forbidden', why)
}
