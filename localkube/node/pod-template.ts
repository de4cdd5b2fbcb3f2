/** The pod that a Job or a ReplicaSet wants. Pure but for the random end of its name. */
import { randomInt } from 'node:crypto'
import type { KubeObject, ObjectInput } from '#localkube/api'
import type { PodTemplate } from './objects.ts'

/** Letters without vowels, so that no name spells a word, as Kubernetes chooses them. */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789'

export function podFromTemplate(
  owner: KubeObject,
  template: PodTemplate,
  nodeName: string | undefined,
  labels: Record<string, string> = {},
): ObjectInput {
  const suffix = Array.from({ length: 5 }, () => alphabet[randomInt(alphabet.length)]).join('')
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `${owner.metadata.name.slice(0, 57)}-${suffix}`,
      namespace: owner.metadata.namespace ?? '',
      labels: { ...template.metadata?.labels, ...labels },
      annotations: { ...template.metadata?.annotations },
      ownerReferences: [
        {
          apiVersion: owner.apiVersion,
          kind: owner.kind,
          name: owner.metadata.name,
          uid: owner.metadata.uid,
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    },
    // There is one node, so what a scheduler would decide is mostly decided.
    spec: { ...template.spec, ...(nodeName !== undefined && { nodeName }) },
  }
}
