import type { ClawInstance, KubeObject, OwnerReference, Resource } from '#core/kinds'
import { apiVersion } from '#core/kinds'
import { networkPolicies, ownerReference, roleBindings, serviceAccounts } from '#core/kube'
import { runServiceAccount } from './job.ts'
import { patchTo } from './merge-patch.ts'
import { type ExternalBus, runNetworkPolicySpec } from './network-policy.ts'

export const managedLabel = { 'app.kubernetes.io/managed-by': 'k8sclaw' } as const

/** Name of the ServiceAccount that the gateway runs as, and of the binding by which it reads provider Secrets. */
export const gatewayAccount = 'k8sclaw-gateway'
const providerReader = 'k8sclaw-provider-reader'
/** Name of the NetworkPolicy of run pods. */
export const runNetworkPolicy = 'k8sclaw-run'

/** An object that all ClawInstances of a namespace share. */
export interface Shared {
  resource: Resource
  object: KubeObject & Record<string, unknown>
  /** A field that cannot be changed: where it differs the object is made anew. */
  fixed?: string
}

export interface TenantSettings {
  systemNamespace: string
  externalBus?: ExternalBus | undefined
}

/**
 * What a namespace with a ClawInstance has: what its run pods may reach, who they are, and the gateway's right to read
 * Secrets there. In this order, so that no pod could start before it is closed in.
 */
export function tenantObjects(namespace: string, { systemNamespace, externalBus }: TenantSettings): Shared[] {
  const metadata = (name: string) => ({ name, namespace, labels: { ...managedLabel } })
  return [
    {
      resource: networkPolicies,
      object: {
        apiVersion: 'networking.k8s.io/v1',
        kind: 'NetworkPolicy',
        metadata: metadata(runNetworkPolicy),
        spec: runNetworkPolicySpec(systemNamespace, externalBus),
      },
    },
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
      fixed: 'roleRef',
    },
  ]
}

export type SharedStep =
  | { do: 'nothing' }
  | { do: 'create'; object: KubeObject }
  | { do: 'patch'; patch: object }
  /** Delete the present one, by its uid, and create this. */
  | { do: 'replace'; uid: string | undefined; object: KubeObject }
  | { do: 'leave'; message: string }

/**
 * What to do about a shared object. It is ours where some ClawInstance owns it; then this instance becomes an owner
 * too, so that it goes with the last of them, and what somebody changed in it is put right. Otherwise it is left alone.
 */
export function decideShared(instance: ClawInstance, wanted: Shared, existing: KubeObject | undefined): SharedStep {
  // No controller: of several owners none is more than the others.
  const { controller: _, ...owner } = ownerReference(instance)
  const { object, resource, fixed } = wanted
  const owned = (ownerReferences: OwnerReference[]) => ({
    ...object,
    metadata: { ...object.metadata, ownerReferences },
  })
  if (!existing) return { do: 'create', object: owned([owner]) }
  const owners = existing.metadata.ownerReferences ?? []
  if (!owners.some(isInstance)) {
    const message = `${resource.kind} ${object.metadata.name} exists and does not belong to a ClawInstance`
    return { do: 'leave', message }
  }
  const all = owners.some((reference) => reference.uid === owner.uid) ? owners : [...owners, owner]
  const change = differences(object, existing as KubeObject & Record<string, unknown>)
  if (fixed !== undefined && change && fixed in change) {
    return { do: 'replace', uid: existing.metadata.uid, object: owned(all) }
  }
  const unlabelled = Object.entries(object.metadata.labels ?? {}).some(([k, v]) => existing.metadata.labels?.[k] !== v)
  if (!change && all === owners && !unlabelled) return { do: 'nothing' }
  const { resourceVersion } = existing.metadata
  return {
    do: 'patch',
    patch: { metadata: { resourceVersion, labels: object.metadata.labels, ownerReferences: all }, ...change },
  }
}

/** Of the fields that we set, whatever is not as we set it; other fields are not ours to judge. */
function differences(wanted: Shared['object'], present: Shared['object']): Record<string, unknown> | undefined {
  const { apiVersion: _version, kind: _kind, metadata: _metadata, ...content } = wanted
  return patchTo(content, Object.fromEntries(Object.keys(content).map((field) => [field, present[field]])))
}

function isInstance(reference: OwnerReference): boolean {
  return reference.apiVersion === apiVersion && reference.kind === 'ClawInstance'
}
