import { ClawError } from '#core/errors'
import { type ClawPolicy, clawPolicies, type FeatureGate, featureGates } from '#core/kinds'
import { type ClusterOptions, connect } from './context.ts'
import type { PrintedOptions } from './objects.ts'
import { table } from './terminal.ts'

/** `features list`: the gates there are, and whether a policy has them on. */
export async function listFeatures({
  policy,
  format,
  ...options
}: PrintedOptions & { policy: string }): Promise<string> {
  const { kube, namespace } = await connect(options)
  const { spec } = await kube.get<ClawPolicy>(clawPolicies, { namespace, name: policy })
  const gates = featureGates.map((name) => ({ name, enabled: spec.featureGates[name] === true }))
  switch (format) {
    case 'name':
      return gates.map(({ name }) => name).join('\n')
    case 'json':
      return JSON.stringify(gates, null, 4)
    case 'yaml':
      return (await import('./yaml-text.ts')).yamlText(gates)
    case 'table':
    case 'wide': {
      const rows = gates.map(({ name, enabled }) => [name, String(enabled)])
      return table(['GATE', 'ENABLED'], rows)
    }
  }
}

/** `features enable GATE` and `disable GATE`: says it in the policy, which binds runs that start from then on. */
export async function setFeature(
  gate: string,
  enabled: boolean,
  { policy, ...options }: ClusterOptions & { policy: string },
): Promise<string> {
  if (!isGate(gate))
    throw new ClawError('invalid', `there is no feature gate ${gate}; there are ${featureGates.join(', ')}`)
  const { kube, namespace } = await connect(options)
  await kube.patch(clawPolicies, { namespace, name: policy }, { spec: { featureGates: { [gate]: enabled } } })
  return `clawpolicy.k8sclaw.io/${policy}: ${gate} ${enabled ? 'enabled' : 'disabled'}`
}

function isGate(name: string): name is FeatureGate {
  return (featureGates as readonly string[]).includes(name)
}
