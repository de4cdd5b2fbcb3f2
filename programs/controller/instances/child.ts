import { createHash } from 'node:crypto'
import type { ClawInstance, KubeObject } from '#core/kinds'
import { isOwnedBy } from '#core/kube'
import type { ChannelChild } from '../resources/channel.ts'
import { patchTo } from '../resources/merge-patch.ts'

/** What was last written of an object, and as which generation. */
export interface Written {
  hash: string
  generation: number
}

export type ChildStep =
  | { do: 'nothing' }
  | { do: 'create' }
  | { do: 'patch'; patch: object }
  /** It bears the name and is not the instance's. */
  | { do: 'leave'; message: string }

/**
 * What to do about one object of a channel. A Deployment is full of what an API server adds, so it is not compared: it
 * is written anew where it is not what this process wrote last, in our words or in its generation, which any change of
 * somebody else's moves. That costs one write without effect for each when a controller starts.
 */
export function decideChild(
  instance: ClawInstance,
  wanted: ChannelChild,
  existing: KubeObject | undefined,
  written?: Written,
): ChildStep {
  const { object, resource } = wanted
  if (!existing) return { do: 'create' }
  if (!isOwnedBy(existing, instance)) {
    const message = `${resource.kind} ${object.metadata.name} exists and does not belong to ClawInstance ${instance.metadata.name}`
    return { do: 'leave', message }
  }
  const { uid, generation = 0 } = existing.metadata
  const unlabelled = Object.entries(object.metadata.labels ?? {}).some(([k, v]) => existing.metadata.labels?.[k] !== v)
  if (resource.kind === 'Deployment') {
    if (!unlabelled && written?.hash === hashOf(object) && generation <= written.generation) return { do: 'nothing' }
    const same = { op: 'test', path: '/metadata/uid', value: uid }
    const labels = {
      op: 'add',
      path: '/metadata/labels',
      value: { ...existing.metadata.labels, ...object.metadata.labels },
    }
    return { do: 'patch', patch: [same, labels, { op: 'add', path: '/spec', value: object.spec }] }
  }
  const change = differences(resource.kind, object, existing as ChannelChild['object'])
  if (!change && !unlabelled) return { do: 'nothing' }
  const metadata = { uid, labels: object.metadata.labels }
  return { do: 'patch', patch: { metadata, ...change } }
}

export function hashOf(object: object): string {
  return createHash('sha256').update(JSON.stringify(object)).digest('hex')
}

/** Of the fields that we set, whatever is not as we set it. A Service's spec has more fields than ours. */
function differences(kind: string, wanted: ChannelChild['object'], present: ChannelChild['object']) {
  const { apiVersion: _version, kind: _kind, metadata: _metadata, ...content } = wanted
  if (kind !== 'Service') return patchTo(content, only(content, present))
  const spec = content.spec as Record<string, unknown>
  const change = patchTo(spec, only(spec, (present.spec ?? {}) as Record<string, unknown>))
  return change && { spec: change }
}

function only(wanted: Record<string, unknown>, present: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.keys(wanted).map((field) => [field, present[field]]))
}
