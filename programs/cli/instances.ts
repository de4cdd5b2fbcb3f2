import { type ClawInstance, clawInstances } from '#core/kinds'
import { type ClusterOptions, connect } from './context.ts'
import { type OutputFormat, render, type View } from './output.ts'
import { age } from './terminal.ts'

const instanceView: View<ClawInstance> = {
  resource: 'clawinstance.k8sclaw.io',
  heads: ['NAME', 'PHASE', 'ACTIVE', 'MODEL', 'AGE'],
  wideHeads: ['PROVIDER', 'POLICY'],
  row: ({ metadata, spec, status }, now) => [
    metadata.name,
    status?.phase ?? 'Pending',
    String(status?.activeRuns ?? 0),
    spec.agents.default?.model.name ?? '',
    age(metadata.creationTimestamp, now),
    spec.agents.default?.model.provider ?? '',
    spec.policyRef?.name ?? '',
  ],
}

export async function listInstances(options: ClusterOptions & { format: OutputFormat }): Promise<string> {
  const { kube, namespace } = await connect(options)
  const { items } = await kube.list<ClawInstance>(clawInstances, { namespace: options.allNamespaces ? '*' : namespace })
  const tabular = options.format === 'table' || options.format === 'wide'
  if (items.length === 0 && tabular)
    return options.allNamespaces ? 'No resources found' : `No resources found in ${namespace} namespace.`
  return render(instanceView, items, {
    format: options.format,
    namespaces: options.allNamespaces === true,
    single: false,
  })
}

export async function getInstance(name: string, options: ClusterOptions & { format: OutputFormat }): Promise<string> {
  const { kube, namespace } = await connect(options)
  const found = await kube.get<ClawInstance>(clawInstances, { namespace, name })
  return render(instanceView, [found], { format: options.format, namespaces: false, single: true })
}
