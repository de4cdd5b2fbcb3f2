import type { Kube } from '#core/kube'

/** The options that every command which talks to a cluster takes. */
export interface ClusterOptions {
  kubeconfig?: string
  context?: string
  namespace?: string
  allNamespaces?: boolean
}

/** The cluster that the kubeconfig names, in the namespace that was asked for. Loaded late: it is the costly import. */
export async function connect(options: ClusterOptions): Promise<{ kube: Kube; namespace: string }> {
  const { loadKube } = await import('#core/kube')
  if (options.kubeconfig) process.env.KUBECONFIG = options.kubeconfig
  const kube = await loadKube({
    ...(options.context ? { context: options.context } : {}),
    ...(options.namespace ? { namespace: options.namespace } : {}),
  })
  return { kube, namespace: options.namespace ?? kube.namespace }
}
