import type { ClawInstance, KubeObject, OwnerReference, Resource } from '#core/kinds'
import { apiVersion } from '#core/kinds'
import { ownerReference, roleBindings, serviceAccounts } from '#core/kube'
import { runServiceAccount } from './job.ts'

export const managedLabel = { 'app.kubernetes.io/managed-by': 'k8sclaw' } as const

/** Name of the ServiceAccount that the gateway runs as, and of the binding by which it reads provider Secrets. */
export const gatewayAccount = 'k8sclaw-gateway'
const providerReader = 'k8sclaw-provider-reader'

/** An object that all ClawInstances of a namespace share. */
export interface Shared {
  resource: Resource
  object: KubeObject & Record<string, unknown>
}

/** What a namespace with a ClawInstance has: who its run pods are, and the gateway's right to read Secrets there. */
export function tenantObjects(namespace: string, systemNamespace: string): Shared[] {
  const metadata = (name: string) => ({ name, namespace, labels: { ...managedLabel } })
  return [
    {
      resource: serviceAccounts,
      object: {
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: metadata(runServiceAccount),
        automountServiceAccountToken: false,
      },
    },
    {
      resource: roleBindings,
      object: {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'RoleBinding',
        metadata: metadata(gatewayAccount),
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: providerReader },
        subjects: [{ kind: 'ServiceAccount', name: gatewayAccount, namespace: systemNamespace }],
      },
    },
  ]
}

export type SharedStep =
  | { do: 'nothing' }
  | { do: 'create'; object: KubeObject }
  | { do: 'patch'; patch: object }
  | { do: 'leave'; message: string }

/**
 * What to do about a shared object. It is ours where some ClawInstance owns it; then this instance becomes an owner
 * too, so that it goes with the last of them, and what somebody changed in it is put right. Otherwise it is left alone.
 */
export function decideShared(instance: ClawInstance, wanted: Shared, existing: KubeObject | undefined): SharedStep {
  // No controller: of several owners none is more than the others.
  const { controller: _, ...owner } = ownerReference(instance)
  const { object, resource } = wanted
  if (!existing) {
    return { do: 'create', object: { ...object, metadata: { ...object.metadata, ownerReferences: [owner] } } }
  }
  const owners = existing.metadata.ownerReferences ?? []
  if (!owners.some(isInstance)) {
    const message = `${resource.kind} ${object.metadata.name} exists and does not belong to a ClawInstance`
    return { do: 'leave', message }
  }
  const { apiVersion: _version, kind: _kind, metadata, ...content } = object
  const present = existing as KubeObject & Record<string, unknown>
  const changed = Object.entries(content).filter(([field, value]) => !sameContent(value, present[field]))
  const missing = !owners.some((reference) => reference.uid === owner.uid)
  const unlabelled = Object.entries(metadata.labels ?? {}).some(([k, v]) => existing.metadata.labels?.[k] !== v)
  if (changed.length === 0 && !missing && !unlabelled) return { do: 'nothing' }
  return {
    do: 'patch',
    patch: {
      metadata: {
        resourceVersion: existing.metadata.resourceVersion,
        labels: metadata.labels,
        ownerReferences: missing ? [...owners, owner] : owners,
      },
      ...Object.fromEntries(changed),
    },
  }
}

function isInstance(reference: OwnerReference): boolean {
  return reference.apiVersion === apiVersion && reference.kind === 'ClawInstance'
}

/** Equal but for the order of fields and for fields that the API server added. */
function sameContent(wanted: unknown, present: unknown): boolean {
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(present) &&
      wanted.length === present.length &&
      wanted.every((item, at) => sameContent(item, present[at]))
    )
  }
  if (typeof wanted === 'object' && wanted !== null) {
    if (typeof present !== 'object' || present === null) return false
    const fields = present as Record<string, unknown>
    return Object.entries(wanted).every(([field, value]) => sameContent(value, fields[field]))
  }
  return wanted === present
}
