import { isObject, type Json, listAt, objectAt, stringAt } from '../json.ts'
import type { AdmissionRequest } from '../objects/context.ts'
import { matchesLabelSelector } from '../selector.ts'
import type { Store } from '../store/index.ts'

/** One webhook of a configuration, as it was written. */
export interface Hook {
  configuration: string
  name: string
  spec: Json
}

const group = 'admissionregistration.k8s.io'

/** The hooks that want to hear of this request, in the order of their configurations' names. */
export function matchingHooks(store: Store, type: 'mutating' | 'validating', request: AdmissionRequest): Hook[] {
  // As in Kubernetes: a webhook must not be able to lock out the repair of its own configuration.
  if (request.kind.group === group) return []
  return store.list(`${type}webhookconfigurations.${group}`).flatMap(({ name, object }) =>
    listAt(object, 'webhooks')
      .filter(isObject)
      .filter((spec) => matches(store, spec, request))
      .map((spec) => ({ configuration: name, name: stringAt(spec, 'name'), spec })),
  )
}

function matches(store: Store, spec: Json, request: AdmissionRequest): boolean {
  if (!listAt(spec, 'rules').some((rule) => ruleMatches(rule, request))) return false
  if (!matchesLabelSelector(spec.namespaceSelector ?? {}, namespaceLabels(store, request) ?? {})) {
    // Cluster-scoped objects other than namespaces are in no namespace whose labels could matter.
    if (namespaceLabels(store, request) !== undefined) return false
  }
  const selector = spec.objectSelector ?? {}
  return [request.object, request.oldObject].some(
    (object) => object && matchesLabelSelector(selector, objectAt(object, 'metadata', 'labels')),
  )
}

function ruleMatches(rule: unknown, { kind, subresource, operation }: AdmissionRequest): boolean {
  const includes = (field: string, value: string): boolean => {
    const values = listAt(rule, field)
    return values.includes('*') || values.includes(value)
  }
  const scope = stringAt(rule, 'scope') || '*'
  if (scope !== '*' && (scope === 'Namespaced') !== kind.namespaced) return false
  if (!includes('operations', operation) || !includes('apiGroups', kind.group)) return false
  return includes('apiVersions', kind.version) && matchesResource(listAt(rule, 'resources'), kind.plural, subresource)
}

function matchesResource(patterns: unknown[], plural: string, subresource: string): boolean {
  return patterns.some((pattern) => {
    const [resource, sub = ''] = String(pattern).split('/')
    return (resource === '*' || resource === plural) && (sub === subresource || sub === '*')
  })
}

function namespaceLabels(store: Store, request: AdmissionRequest): Json | undefined {
  const { kind, namespace, object, oldObject } = request
  if (kind.group === '' && kind.plural === 'namespaces') return objectAt(object ?? oldObject, 'metadata', 'labels')
  if (!kind.namespaced) return undefined
  const parent = store.get({ resource: 'namespaces', namespace: '', name: namespace })
  return objectAt(parent?.object, 'metadata', 'labels')
}
