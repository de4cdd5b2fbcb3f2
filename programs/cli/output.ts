import type { KubeObject } from '#core/kinds'
import { table } from './terminal.ts'

export type OutputFormat = 'table' | 'wide' | 'json' | 'yaml' | 'name'

export interface View<T extends KubeObject> {
  /** As `kubectl -o name` prefixes it: `agentrun.k8sclaw.io`. */
  resource: string
  heads: string[]
  wideHeads: string[]
  /** The cells of `heads`, then those of `wideHeads`. */
  row(object: T, now: Date): string[]
}

export interface PrintOptions {
  format: OutputFormat
  /** Adds a NAMESPACE column in front. */
  namespaces: boolean
  /** A single object rather than a list, so that json and yaml print it bare. */
  single: boolean
}

/** The text of a list in the wanted format, without a final newline. */
export async function render<T extends KubeObject>(
  view: View<T>,
  objects: T[],
  options: PrintOptions,
  now = new Date(),
): Promise<string> {
  switch (options.format) {
    case 'name':
      return objects.map((o) => `${view.resource}/${o.metadata.name}`).join('\n')
    case 'json':
      return JSON.stringify(options.single ? objects[0] : listOf(objects), null, 4)
    case 'yaml': {
      const { yamlText } = await import('./yaml-text.ts')
      return yamlText(options.single ? objects[0] : listOf(objects))
    }
    case 'table':
    case 'wide': {
      const wide = options.format === 'wide'
      const heads = [...view.heads, ...(wide ? view.wideHeads : [])]
      const rows = objects.map((o) => {
        const cells = view.row(o, now).slice(0, heads.length)
        return options.namespaces ? [o.metadata.namespace ?? '', ...cells] : cells
      })
      return table(options.namespaces ? ['NAMESPACE', ...heads] : heads, rows)
    }
  }
}

function listOf(items: KubeObject[]) {
  return { apiVersion: 'v1', kind: 'List', metadata: { resourceVersion: '' }, items }
}
