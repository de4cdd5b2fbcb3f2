import { events, type Job, type Kube, type KubeEvent } from '#core/kube'
import type { Stuck } from './ending.ts'

/** Why a Job has no pod, in the words of the Job controller, which tells it in an event and nowhere else. */
export async function whyNoPod(kube: Kube, job: Job): Promise<Stuck | undefined> {
  const { namespace, uid } = job.metadata
  const fieldSelector = `involvedObject.uid=${uid},reason=FailedCreate`
  const { items } = await kube.list<KubeEvent>(events, { namespace, fieldSelector })
  const said = (event: KubeEvent) => event.lastTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp ?? ''
  const message = items.toSorted((a, b) => said(a).localeCompare(said(b))).at(-1)?.message
  if (message === undefined) return undefined
  return { reason: message.includes('exceeded quota') ? 'QuotaExceeded' : 'FailedCreate', message }
}
