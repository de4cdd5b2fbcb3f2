/** Turns Deployments into ReplicaSets, one for each pod template, and those into pods. */
import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { ApiError, type KubeObject, type ResourceRef, resources } from '#localkube/api'
import { nowText } from './container.ts'
import type { NodeContext } from './context.ts'
import { EventRecorder } from './event-recorder.ts'
import type { Mirror } from './mirror.ts'
import {
  type Deployment,
  isControlledBy,
  isFinished,
  isReady,
  type Pod,
  type ReplicaSet,
  withCondition,
} from './objects.ts'
import { podFromTemplate } from './pod-template.ts'
import { rollout } from './rollout.ts'
import { chooseNode } from './scheduler.ts'
import { unlessGone } from './unless-gone.ts'
import { WorkQueue } from './work-queue.ts'

const hashLabel = 'pod-template-hash'
const revisionAnnotation = 'deployment.kubernetes.io/revision'

export class DeploymentController {
  readonly #context: NodeContext
  readonly #events: EventRecorder
  readonly #deployments: WorkQueue
  readonly #sets: WorkQueue

  constructor(context: NodeContext) {
    this.#context = context
    this.#events = new EventRecorder(context, 'replicaset-controller', { apiVersion: 'apps/v1', kind: 'ReplicaSet' })
    const { signal, log } = context
    this.#deployments = new WorkQueue((key) => this.#reconcileDeployment(key), signal, log)
    this.#sets = new WorkQueue((key) => this.#reconcileSet(key), signal, log)
  }

  /** Call it once the mirrors are filled. Resolves once every status says how things are now. */
  async start(): Promise<void> {
    const { deployments, replicaSets, pods } = this.#context.mirrors
    deployments.subscribe(({ object }) => this.#deployments.add(keyOf(object)))
    replicaSets.subscribe(({ type, object }) => {
      if (type === 'set') this.#sets.add(keyOf(object))
      this.#addOwner(object, 'Deployment', this.#deployments)
    })
    pods.subscribe(({ object }) => this.#addOwner(object, 'ReplicaSet', this.#sets))
    await this.#sets.idle()
    await this.#deployments.idle()
  }

  async idle(): Promise<void> {
    await Promise.all([this.#deployments.idle(), this.#sets.idle()])
  }

  #addOwner(object: KubeObject, kind: string, queue: WorkQueue): void {
    const owner = object.metadata.ownerReferences?.find((r) => r.controller && r.kind === kind)
    if (owner) queue.add(`${object.metadata.namespace ?? ''}/${owner.name}`)
  }

  async #reconcileDeployment(key: string): Promise<void> {
    const { deployments, replicaSets } = this.#context.mirrors
    const deployment = getBy(deployments, key)
    if (!deployment || deployment.metadata.deletionTimestamp) return
    const owned = replicaSets.all().filter((set) => isControlledBy(set, deployment))
    const hash = hashOf(deployment.spec.template)
    const current =
      owned.find((set) => set.metadata.labels?.[hashLabel] === hash) ?? (await this.#createSet(deployment, owned, hash))
    const old = owned.filter((set) => set.metadata.uid !== current.metadata.uid)
    for (const [name, size] of rollout(deployment, current, old)) {
      const set = [current, ...old].find((s) => s.metadata.name === name)
      if (set && set.spec.replicas !== size) await this.#scale(set, size)
    }
    await this.#prune(deployment, old)
    await this.#writeDeploymentStatus(deployment, current, owned)
  }

  async #createSet(deployment: Deployment, owned: ReplicaSet[], hash: string): Promise<ReplicaSet> {
    const { client, mirrors } = this.#context
    const { template, selector } = deployment.spec
    const labels = { ...template.metadata?.labels, [hashLabel]: hash }
    const revision = 1 + Math.max(0, ...owned.map(revisionOf))
    const created = await client.create<ReplicaSet>(resources.replicaSets, {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      metadata: {
        name: `${deployment.metadata.name.slice(0, 52)}-${hash}`,
        namespace: deployment.metadata.namespace,
        labels,
        annotations: { [revisionAnnotation]: String(revision) },
        ownerReferences: [
          {
            apiVersion: 'apps/v1',
            kind: 'Deployment',
            name: deployment.metadata.name,
            uid: deployment.metadata.uid,
            controller: true,
            blockOwnerDeletion: true,
          },
        ],
      },
      spec: {
        replicas: 0,
        selector: { ...selector, matchLabels: { ...selector.matchLabels, [hashLabel]: hash } },
        template: { ...template, metadata: { ...template.metadata, labels } },
      },
    })
    mirrors.replicaSets.assume(created)
    return created
  }

  async #scale(set: ReplicaSet, replicas: number): Promise<void> {
    const { namespace, name } = set.metadata
    const patched = await this.#context.client.patch<ReplicaSet>(
      resources.replicaSets,
      { namespace, name },
      { spec: { replicas } },
    )
    this.#context.mirrors.replicaSets.assume(patched)
  }

  async #prune(deployment: Deployment, old: ReplicaSet[]): Promise<void> {
    const idle = old.filter((set) => (set.spec.replicas ?? 0) === 0 && (set.status?.replicas ?? 0) === 0)
    const extra = idle
      .toSorted((a, b) => revisionOf(b) - revisionOf(a))
      .slice(deployment.spec.revisionHistoryLimit ?? 10)
    for (const { metadata } of extra) {
      const { namespace, name } = metadata
      await this.#context.client.delete(resources.replicaSets, { namespace: namespace ?? '', name }).catch(unlessGone)
    }
  }

  async #writeDeploymentStatus(deployment: Deployment, current: ReplicaSet, owned: ReplicaSet[]): Promise<void> {
    const { replicaSets } = this.#context.mirrors
    const now = (set: ReplicaSet) => getBy(replicaSets, keyOf(set)) ?? set
    const sets = [now(current), ...owned.filter((s) => s.metadata.uid !== current.metadata.uid).map(now)]
    const sum = (field: 'replicas' | 'readyReplicas' | 'availableReplicas') =>
      sets.reduce((total, set) => total + (set.status?.[field] ?? 0), 0)
    const replicas = deployment.spec.replicas ?? 1
    const updated = sets[0]?.status?.replicas ?? 0
    const available = sum('availableReplicas')
    const complete = updated === replicas && sum('replicas') === replicas && available === replicas
    let conditions = deployment.status?.conditions ?? []
    const time = nowText()
    conditions = withCondition(
      conditions,
      available >= replicas
        ? {
            type: 'Available',
            status: 'True',
            reason: 'MinimumReplicasAvailable',
            message: 'Deployment has minimum availability.',
          }
        : {
            type: 'Available',
            status: 'False',
            reason: 'MinimumReplicasUnavailable',
            message: 'Deployment does not have minimum availability.',
          },
      time,
    )
    conditions = withCondition(
      conditions,
      { type: 'Progressing', status: 'True', reason: complete ? 'NewReplicaSetAvailable' : 'ReplicaSetUpdated' },
      time,
    )
    await this.#writeStatus(resources.deployments, this.#context.mirrors.deployments, deployment, {
      observedGeneration: deployment.metadata.generation ?? 0,
      replicas: sum('replicas'),
      updatedReplicas: updated,
      readyReplicas: sum('readyReplicas'),
      availableReplicas: available,
      unavailableReplicas: Math.max(0, replicas - available),
      conditions,
    })
  }

  async #reconcileSet(key: string): Promise<void> {
    const { client, mirrors } = this.#context
    const set = getBy(mirrors.replicaSets, key)
    if (!set || set.metadata.deletionTimestamp) return
    const owned = mirrors.pods.all().filter((pod) => isControlledBy(pod, set))
    const alive = owned.filter((pod) => !isFinished(pod) && !pod.metadata.deletionTimestamp)
    const wanted = set.spec.replicas ?? 0
    for (let i = alive.length; i < wanted; i++) {
      const nodeName = chooseNode(this.#context, set.spec.template.spec)
      const wantedPod = podFromTemplate(set, set.spec.template, nodeName)
      const pod = await client.create<Pod>(resources.pods, wantedPod).catch((error: unknown) => {
        if (error instanceof ApiError) this.#events.warn(set, 'FailedCreate', `Error creating: ${error.message}`)
        throw error
      })
      mirrors.pods.assume(pod)
      alive.push(pod)
      owned.push(pod)
    }
    const extra = alive
      .toSorted((a, b) => Number(isReady(a)) - Number(isReady(b)))
      .slice(0, Math.max(0, alive.length - wanted))
    for (const { metadata } of extra) {
      const { namespace, name, uid } = metadata
      await client.delete(resources.pods, { namespace, name }, { preconditions: { uid } }).catch(unlessGone)
    }
    const ready = alive.filter(isReady).length
    await this.#writeStatus(resources.replicaSets, mirrors.replicaSets, set, {
      observedGeneration: set.metadata.generation ?? 0,
      // Pods that are ending still count: Recreate waits until they are gone.
      replicas: owned.filter((pod) => !isFinished(pod)).length,
      fullyLabeledReplicas: alive.length,
      readyReplicas: ready,
      availableReplicas: ready,
    })
  }

  async #writeStatus<T extends Deployment | ReplicaSet>(
    resource: ResourceRef,
    mirror: Mirror<T>,
    object: T,
    status: NonNullable<T['status']>,
  ): Promise<void> {
    if (isDeepStrictEqual(status, object.status)) return
    const { resourceVersion: _, ...metadata } = object.metadata
    const written = await this.#context.client
      .update<T>(resource, { ...object, metadata, status }, { subresource: 'status' })
      .catch(unlessGone)
    if (written) mirror.assume(written)
  }
}

/** The same template gives the same hash, in whatever order its keys come. */
function hashOf(value: unknown): string {
  const canonical = JSON.stringify(value, (_, part: unknown) =>
    part && typeof part === 'object' && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  )
  return createHash('sha256').update(canonical).digest('hex').slice(0, 10)
}

function revisionOf(set: ReplicaSet): number {
  return Number(set.metadata.annotations?.[revisionAnnotation] ?? 0)
}

function keyOf(object: KubeObject): string {
  return `${object.metadata.namespace ?? ''}/${object.metadata.name}`
}

function getBy<T extends KubeObject>(mirror: Mirror<T>, key: string): T | undefined {
  const [namespace, name = ''] = key.split('/')
  return mirror.get(namespace, name)
}
