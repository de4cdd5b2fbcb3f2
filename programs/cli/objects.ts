import type { KubeObject, Resource } from '#core/kinds'
import { type ClusterOptions, connect } from './context.ts'
import { type OutputFormat, render, type View } from './output.ts'

export type PrintedOptions = ClusterOptions & { format: OutputFormat }

/** The text of `list`: all objects of a kind, or those that `isWanted`, as kubectl prints them. */
export async function listObjects<T extends KubeObject>(
  resource: Resource,
  view: View<T>,
  options: PrintedOptions,
  isWanted: (object: T) => boolean = () => true,
): Promise<string> {
  const { kube, namespace } = await connect(options)
  const { items } = await kube.list<T>(resource, { namespace: options.allNamespaces ? '*' : namespace })
  const wanted = items.filter(isWanted)
  const { format, allNamespaces: namespaces = false } = options
  if (wanted.length === 0 && (format === 'table' || format === 'wide'))
    return namespaces ? 'No resources found' : `No resources found in ${namespace} namespace.`
  return render(view, wanted, { format, namespaces, single: false })
}

/** The text of `get`: one object. */
export async function getObject<T extends KubeObject>(
  resource: Resource,
  view: View<T>,
  name: string,
  options: PrintedOptions,
): Promise<string> {
  const { kube, namespace } = await connect(options)
  const found = await kube.get<T>(resource, { namespace, name })
  return render(view, [found], { format: options.format, namespaces: false, single: true })
}
