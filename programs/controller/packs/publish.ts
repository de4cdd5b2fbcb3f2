import { isDeepStrictEqual } from 'node:util'
import { ClawError } from '#core/errors'
import type { KubeObject } from '#core/kinds'
import { type ConfigMap, configMaps, createOrAdopt, isOwnedBy, type Kube } from '#core/kube'

/**
 * Sees to it that a ConfigMap of ours is there and holds what it should; `present` is what the cache shows. It cannot
 * be changed, but somebody may have deleted it and made another of its name: that one is replaced if it says that it
 * is ours, and else left alone (`not_ours`).
 */
export async function publish(
  kube: Kube,
  wanted: ConfigMap,
  owner: KubeObject,
  present: ConfigMap | undefined,
): Promise<ConfigMap> {
  if (present && isOwnedBy(present, owner) && holds(present, wanted)) return present
  const { object } = await createOrAdopt<ConfigMap>(kube, configMaps, wanted, owner)
  if (holds(object, wanted)) return object
  await kube.delete(configMaps, object.metadata, { uid: object.metadata.uid })
  const again = await createOrAdopt<ConfigMap>(kube, configMaps, wanted, owner)
  if (holds(again.object, wanted)) return again.object
  throw new ClawError('conflict', `ConfigMap ${wanted.metadata.name} was replaced while it was put right`)
}

function holds(present: ConfigMap, { data, immutable }: ConfigMap): boolean {
  return present.immutable === immutable && isDeepStrictEqual({ ...present.data }, { ...data }) && !present.binaryData
}
