import { type ClawPolicy, clawPolicies, featureGates } from '#core/kinds'
import { getObject, listObjects, type PrintedOptions } from './objects.ts'
import type { View } from './output.ts'
import { age } from './terminal.ts'

const policyView: View<ClawPolicy> = {
  resource: 'clawpolicy.k8sclaw.io',
  heads: ['NAME', 'DEFAULT', 'BOUND', 'AGE'],
  wideHeads: ['RULES', 'GATES'],
  row: ({ metadata, spec, status }, now) => [
    metadata.name,
    spec.toolGating.defaultAction,
    status?.boundInstances === undefined ? '' : String(status.boundInstances),
    age(metadata.creationTimestamp, now),
    String(spec.toolGating.rules.length),
    featureGates.filter((gate) => spec.featureGates[gate]).join(','),
  ],
}

export const listPolicies = (options: PrintedOptions) => listObjects(clawPolicies, policyView, options)
export const getPolicy = (name: string, options: PrintedOptions) => getObject(clawPolicies, policyView, name, options)
