import { type Kind, resourceName } from '../kinds/index.ts'
import { inVersion } from '../objects/objects.ts'
import type { Entry } from '../store/index.ts'
import type { KubeObject } from '../types.ts'

export type IncludeObject = 'None' | 'Metadata' | 'Object'

/** What the client's Accept header asks for among what we can give. */
export interface Rendering {
  as: 'Object' | 'Table' | 'PartialObjectMetadata'
  /** The group version of the rendering: meta.k8s.io/v1 or v1beta1. */
  metaVersion: string
  includeObject: IncludeObject
}

/** Picks the first rendering of the Accept header that exists here; undefined when none does. */
export function negotiate(accept: string | undefined, query: URLSearchParams): Rendering | undefined {
  const include = query.get('includeObject')
  const includeObject = include === 'None' || include === 'Object' ? include : 'Metadata'
  for (const range of (accept || 'application/json').split(',')) {
    const [type = '', ...rest] = range.split(';').map((part) => part.trim())
    const parameters = new Map(rest.map((one) => one.split('=', 2) as [string, string]))
    const as = parameters.get('as')?.replace(/List$/, '')
    const metaVersion = parameters.get('v') ?? 'v1'
    if (!['application/json', 'application/*', '*/*'].includes(type)) continue
    if (as === 'Table' || as === 'PartialObjectMetadata') return { as, metaVersion, includeObject }
    if (as === undefined) return { as: 'Object', metaVersion, includeObject }
  }
  return undefined
}

/** One object as JSON text in the wanted rendering. */
export function renderObject(kind: Kind, entry: Entry, rendering: Rendering): string {
  if (rendering.as === 'Table') return JSON.stringify(table(kind, [entry], rendering, {}))
  if (rendering.as === 'PartialObjectMetadata') return JSON.stringify(partial(entry.object, rendering.metaVersion))
  const object = inVersion(kind, entry.object)
  return object === entry.object ? entry.json : JSON.stringify(object)
}

export interface ListMeta {
  resourceVersion?: string
  continue?: string
  remainingItemCount?: number
}

/** A list as JSON text; the items' own texts are reused. */
export function renderList(kind: Kind, entries: Entry[], rendering: Rendering, metadata: ListMeta): string {
  if (rendering.as === 'Table') return JSON.stringify(table(kind, entries, rendering, metadata))
  const isPartial = rendering.as === 'PartialObjectMetadata'
  const head = {
    kind: isPartial ? 'PartialObjectMetadataList' : `${kind.kind}List`,
    apiVersion: isPartial ? `meta.k8s.io/${rendering.metaVersion}` : apiVersionText(kind),
    metadata,
  }
  const items = entries.map((entry) => withoutType(kind, renderObject(kind, entry, rendering))).join(',')
  return `${JSON.stringify(head).slice(0, -1)},"items":[${items}]}`
}

/** Items of built-in kinds do not repeat what the list says; the two fields are the first, as they are stored. */
function withoutType(kind: Kind, text: string): string {
  const head = `{"apiVersion":${JSON.stringify(apiVersionText(kind))},"kind":${JSON.stringify(kind.kind)},`
  return !kind.custom && text.startsWith(head) ? `{${text.slice(head.length)}` : text
}

function apiVersionText(kind: Kind): string {
  return kind.group ? `${kind.group}/${kind.version}` : kind.version
}

function table(kind: Kind, entries: Entry[], rendering: Rendering, metadata: ListMeta): unknown {
  const { metaVersion, includeObject } = rendering
  return {
    kind: 'Table',
    apiVersion: `meta.k8s.io/${metaVersion}`,
    metadata: entries.length === 1 ? { resourceVersion: String(entries[0]?.revision), ...metadata } : metadata,
    columnDefinitions: kind.columns.map(({ name, type, format, description, priority }) => ({
      name,
      type,
      format: format ?? '',
      description: description ?? `${name} of the ${kind.kind} (${resourceName(kind)})`,
      priority: priority ?? 0,
    })),
    rows: entries.map(({ object }) => ({
      cells: kind.columns.map((column) => column.value(object) ?? null),
      ...(includeObject === 'None'
        ? {}
        : { object: includeObject === 'Object' ? inVersion(kind, object) : partial(object, metaVersion) }),
    })),
  }
}

function partial(object: KubeObject, metaVersion: string): unknown {
  return { kind: 'PartialObjectMetadata', apiVersion: `meta.k8s.io/${metaVersion}`, metadata: object.metadata }
}
