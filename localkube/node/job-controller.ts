/** Turns Jobs into pods and their ends into conditions. */
import { isDeepStrictEqual } from 'node:util'
import { ApiError, resources } from '#localkube/api'
import type { NodeContext } from './context.ts'
import { EventRecorder } from './event-recorder.ts'
import { decideJob } from './job-decision.ts'
import { isControlledBy, isFinished, type Job, type Pod } from './objects.ts'
import { podFromTemplate } from './pod-template.ts'
import { chooseNode } from './scheduler.ts'
import { unlessGone } from './unless-gone.ts'
import { WorkQueue } from './work-queue.ts'

export class JobController {
  readonly #context: NodeContext
  readonly #events: EventRecorder
  readonly #queue: WorkQueue
  /** By uid of the Job: pods that were deleted before they finished. */
  readonly #lost = new Map<string, number>()

  constructor(context: NodeContext) {
    this.#context = context
    this.#events = new EventRecorder(context, 'job-controller', { apiVersion: 'batch/v1', kind: 'Job' })
    this.#queue = new WorkQueue((key) => this.#reconcile(key), context.signal, context.log)
  }

  /** Call it once the mirrors are filled. Resolves once every status says how things are now. */
  async start(): Promise<void> {
    const { jobs, pods } = this.#context.mirrors
    jobs.subscribe(({ type, object }) => {
      if (type === 'deleted') this.#lost.delete(object.metadata.uid)
      else this.#queue.add(keyOf(object))
    })
    pods.subscribe(({ type, object }) => {
      const owner = object.metadata.ownerReferences?.find((r) => r.controller && r.kind === 'Job')
      if (!owner) return
      const job = jobs.get(object.metadata.namespace, owner.name)
      if (job?.metadata.uid !== owner.uid) return
      // Those of a suspended Job are deleted because it is.
      if (type === 'deleted' && !isFinished(object) && !job.spec.suspend)
        this.#lost.set(owner.uid, this.#lostOf(job) + 1)
      this.#queue.add(keyOf(job))
    })
    await this.#queue.idle()
  }

  idle(): Promise<void> {
    return this.#queue.idle()
  }

  async #reconcile(key: string): Promise<void> {
    const { client, mirrors } = this.#context
    const [namespace = '', name = ''] = key.split('/')
    const job = mirrors.jobs.get(namespace, name)
    if (!job || job.metadata.deletionTimestamp) return
    const decision = decideJob(job, this.#podsOf(job), this.#lostOf(job), Date.now())
    if (decision.expired) {
      await client
        .delete(
          resources.jobs,
          { namespace, name },
          { propagation: 'Background', preconditions: { uid: job.metadata.uid } },
        )
        .catch(unlessGone)
      return
    }
    const labels = {
      'job-name': name.slice(0, 63),
      'controller-uid': job.metadata.uid,
      'batch.kubernetes.io/job-name': name.slice(0, 63),
      'batch.kubernetes.io/controller-uid': job.metadata.uid,
    }
    for (let i = 0; i < decision.create; i++) {
      const pod = podFromTemplate(job, job.spec.template, chooseNode(this.#context, job.spec.template.spec), labels)
      try {
        mirrors.pods.assume(await client.create<Pod>(resources.pods, pod))
      } catch (error) {
        if (error instanceof ApiError) this.#events.warn(job, 'FailedCreate', `Error creating: ${error.message}`)
        throw error
      }
    }
    await Promise.all(
      decision.remove.map((pod) =>
        client
          .delete(resources.pods, { namespace, name: pod.metadata.name }, { preconditions: { uid: pod.metadata.uid } })
          .catch(unlessGone),
      ),
    )
    if (decision.again !== undefined) this.#queue.addAt(key, decision.again)
    if (isDeepStrictEqual(decision.status, job.status)) return
    const { resourceVersion: _, ...metadata } = job.metadata
    const written = await client
      .update<Job>(resources.jobs, { ...job, metadata, status: decision.status }, { subresource: 'status' })
      .catch(unlessGone)
    if (written) mirrors.jobs.assume(written)
  }

  #podsOf(job: Job): Pod[] {
    return this.#context.mirrors.pods
      .all()
      .filter((pod) => pod.metadata.namespace === job.metadata.namespace && isControlledBy(pod, job))
  }

  /** After a restart of the node, failures that the status counts but no pod shows were lost pods. */
  #lostOf(job: Job): number {
    const { uid } = job.metadata
    const known = this.#lost.get(uid)
    if (known !== undefined) return known
    const shown = this.#podsOf(job).filter((pod) => pod.status?.phase === 'Failed').length
    const lost = Math.max(0, (job.status?.failed ?? 0) - shown)
    this.#lost.set(uid, lost)
    return lost
  }
}

function keyOf(object: Job): string {
  return `${object.metadata.namespace}/${object.metadata.name}`
}
