import { createHash } from 'node:crypto'
import type { ClawInstance, KubeObject, SkillPack } from '#core/kinds'
import type { ConfigMap } from '#core/kube'
import { configMapSource } from '#core/policy'
import { managedLabel } from './tenant.ts'

/** Label of a ConfigMap that holds skills: the uid of the SkillPack, or of the ClawInstance, that it was made for. */
export const skillsOfLabel = 'k8sclaw.io/skills-of'
/** Annotation of a copy: the ConfigMap that it was made of. */
export const copyOfAnnotation = 'k8sclaw.io/copy-of'

/** The ConfigMap of a pack as it reads now. */
export function skillConfigMap(pack: SkillPack): ConfigMap {
  const data = Object.fromEntries(pack.spec.skills.map((skill) => [`${skill.name}.md`, skill.content]))
  return immutable(pack, pack.metadata.name, data)
}

/** A copy of the skills in a ConfigMap that an instance names: that one is its owner's, who may change it at any time. */
export function pinnedConfigMap(instance: ClawInstance, source: ConfigMap): ConfigMap {
  const { name } = source.metadata
  const keys = new Set(configMapSource(name, source.data).skills.map(({ key }) => key))
  const data = Object.fromEntries(
    Object.entries(source.data ?? {})
      .filter(([key]) => keys.has(key))
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  )
  const copy = immutable(instance, name, data)
  return { ...copy, metadata: { ...copy.metadata, annotations: { [copyOfAnnotation]: name } } }
}

/**
 * Named by its content: what a run mounts never changes under it, and changed content is another ConfigMap.
 */
function immutable(owner: KubeObject, name: string, data: Record<string, string>): ConfigMap {
  const { namespace, uid = '' } = owner.metadata
  const hash = createHash('sha256')
    .update(JSON.stringify([uid, data]))
    .digest('hex')
    .slice(0, 10)
  const readable = name.slice(0, 63 - hash.length - 1).replace(/[.-]+$/, '')
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: `${readable}-${hash}`,
      ...(namespace === undefined ? {} : { namespace }),
      labels: { ...managedLabel, [skillsOfLabel]: uid },
    },
    data,
    immutable: true,
  }
}
