/** Binds pods to the one node there is. While it is cordoned they stay Pending and say why, as in Kubernetes. */
import { resources } from '#localkube/api'
import { nowText } from './container.ts'
import type { NodeContext } from './context.ts'
import { EventRecorder } from './event-recorder.ts'
import { isFinished, type Pod, type PodSpec, withCondition } from './objects.ts'
import { unlessGone } from './unless-gone.ts'
import { WorkQueue } from './work-queue.ts'

export class Scheduler {
  readonly #context: NodeContext
  readonly #events: EventRecorder
  readonly #queue: WorkQueue

  constructor(context: NodeContext) {
    this.#context = context
    this.#events = new EventRecorder(context, 'default-scheduler')
    this.#queue = new WorkQueue((key) => this.#schedule(key), context.signal, context.log)
  }

  /** Call it once the mirrors are filled. Resolves once every pod that waited has been looked at. */
  async start(): Promise<void> {
    const { nodes, pods } = this.#context.mirrors
    pods.subscribe(({ type, object }) => {
      if (type === 'set') this.#consider(object)
    })
    nodes.subscribe(() => {
      for (const pod of pods.all()) this.#consider(pod)
    })
    await this.#queue.idle()
  }

  idle(): Promise<void> {
    return this.#queue.idle()
  }

  #consider(pod: Pod): void {
    if (pod.spec.nodeName === undefined && !isFinished(pod))
      this.#queue.add(`${pod.metadata.namespace}/${pod.metadata.name}`)
  }

  async #schedule(key: string): Promise<void> {
    const { client, mirrors } = this.#context
    const [namespace = '', name = ''] = key.split('/')
    const pod = mirrors.pods.get(namespace, name)
    if (!pod || pod.spec.nodeName !== undefined || pod.metadata.deletionTimestamp) return
    const why = whyNot(this.#context, pod.spec)
    const { uid, resourceVersion } = pod.metadata
    if (why === undefined) {
      const { nodeName } = this.#context
      const bound = client.patch<Pod>(resources.pods, { namespace, name }, { metadata: { uid }, spec: { nodeName } })
      const written = await bound.catch(unlessGone)
      if (written) mirrors.pods.assume(written)
      return
    }
    const message = `0/1 nodes are available: 1 node(s) ${why}.`
    this.#events.warn(pod, 'FailedScheduling', message)
    const before = pod.status?.conditions ?? []
    if (before.some((c) => c.reason === 'Unschedulable' && c.message === message)) return
    const unscheduled = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message } as const
    const status = { conditions: withCondition(before, unscheduled, nowText()) }
    // Of the version that was looked at: one that was bound meanwhile keeps what its node says.
    const patch = { metadata: { uid, resourceVersion }, status }
    const written = await client
      .patch<Pod>(resources.pods, { namespace, name }, patch, { subresource: 'status' })
      .catch(unlessGone)
    if (written) mirrors.pods.assume(written)
  }
}

/** The node for a new pod; none while it may not have it. */
export function chooseNode(context: NodeContext, spec: PodSpec): string | undefined {
  return whyNot(context, spec) === undefined ? context.nodeName : undefined
}

/** Why the node does not take a pod; undefined where it does. A node that is to register is there, but has no labels. */
function whyNot({ mirrors, nodeName }: NodeContext, { tolerations = [], nodeSelector = {} }: PodSpec) {
  const node = mirrors.nodes.get(undefined, nodeName)
  const labels = node?.metadata.labels ?? {}
  if (Object.entries(nodeSelector).some(([key, value]) => labels[key] !== value))
    return "didn't match Pod's node affinity/selector"
  const tolerates = tolerations.some(
    ({ key, operator = 'Equal', value = '', effect }) =>
      (!effect || effect === 'NoSchedule') &&
      (key === 'node.kubernetes.io/unschedulable'
        ? operator === 'Exists' || value === ''
        : !key && operator === 'Exists'),
  )
  return node?.spec?.unschedulable === true && !tolerates ? 'were unschedulable' : undefined
}
