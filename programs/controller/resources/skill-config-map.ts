import { createHash } from 'node:crypto'
import type { SkillPack } from '#core/kinds'
import type { ConfigMap } from '#core/kube'
import { managedLabel } from './tenant.ts'

/** Label of a ConfigMap that holds the skills of a pack: the pack's uid. */
export const packUidLabel = 'k8sclaw.io/pack-uid'

/**
 * The ConfigMap of a pack as it reads now, named by its content: what a run mounts never changes under it, and a
 * changed pack is another ConfigMap.
 */
export function skillConfigMap(pack: SkillPack): ConfigMap {
  const data = Object.fromEntries(pack.spec.skills.map((skill) => [`${skill.name}.md`, skill.content]))
  const hash = createHash('sha256')
    .update(JSON.stringify([pack.metadata.uid, data]))
    .digest('hex')
    .slice(0, 10)
  const { namespace, name } = pack.metadata
  const readable = name.slice(0, 63 - hash.length - 1).replace(/[.-]+$/, '')
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: `${readable}-${hash}`,
      ...(namespace === undefined ? {} : { namespace }),
      labels: { ...managedLabel, [packUidLabel]: pack.metadata.uid ?? '' },
    },
    data,
    immutable: true,
  }
}
