import { createHash } from 'node:crypto'
import { isObject, type Json } from '../json.ts'
import type { Kind } from '../kinds/index.ts'
import type { Registry } from '../registry.ts'

/** OpenAPI v3, one document a group version: what kubectl needs to explain fields and to leave validation to us. */
export class OpenApi {
  readonly #registry: Registry
  #generation = -1
  #documents = new Map<string, { text: string; hash: string }>()

  constructor(registry: Registry) {
    this.#registry = registry
  }

  index(): unknown {
    const paths = [...this.#current()].map(([path, { hash }]) => [
      path,
      { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` },
    ])
    return { paths: Object.fromEntries(paths) }
  }

  /** `path` is `api/v1` or `apis/<group>/<version>`. */
  document(path: string): string | undefined {
    return this.#current().get(path)?.text
  }

  #current(): Map<string, { text: string; hash: string }> {
    if (this.#generation === this.#registry.generation) return this.#documents
    this.#generation = this.#registry.generation
    const byPath = Map.groupBy(this.#registry.all(), ({ group, version }) =>
      group ? `apis/${group}/${version}` : `api/${version}`,
    )
    this.#documents = new Map(
      [...byPath].map(([path, kinds]) => {
        const text = JSON.stringify(documentOf(path, kinds))
        return [path, { text, hash: createHash('sha256').update(text).digest('hex').slice(0, 32).toUpperCase() }]
      }),
    )
    return this.#documents
  }
}

function documentOf(path: string, kinds: Kind[]): unknown {
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: 'v1.32.0' },
    paths: Object.fromEntries(kinds.flatMap((kind) => pathsOf(path, kind))),
    components: { schemas: Object.fromEntries(kinds.map((kind) => [componentName(kind), openSchema(kind.schema)])) },
  }
}

function componentName({ group, version, kind }: Kind): string {
  return `${(group || 'core').split('.').toReversed().join('.')}.${version}.${kind}`
}

/** Schemas by the specification know nothing of lists of one type name; the rest passes as it is. */
function openSchema(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(openSchema)
  if (!isObject(schema)) return schema
  const { properties, ...rest } = schema
  const out: Json = Object.fromEntries(
    Object.entries(rest).map(([key, value]) => [
      key,
      ['items', 'additionalProperties', 'allOf', 'anyOf', 'oneOf', 'not'].includes(key) ? openSchema(value) : value,
    ]),
  )
  if (schema['x-kubernetes-int-or-string'] === true) out.oneOf = [{ type: 'integer' }, { type: 'string' }]
  else if (schema['x-kubernetes-preserve-unknown-fields'] === true && schema.type === undefined) out.type = 'object'
  if (isObject(properties)) {
    out.properties = Object.fromEntries(Object.entries(properties).map(([key, value]) => [key, openSchema(value)]))
  }
  return out
}

const query = (name: string): unknown => ({ name, in: 'query', schema: { type: 'string', uniqueItems: true } })
const writeParameters = ['dryRun', 'fieldManager', 'fieldValidation'].map(query)
const listParameters = [
  'allowWatchBookmarks',
  'continue',
  'fieldSelector',
  'labelSelector',
  'limit',
  'resourceVersion',
  'resourceVersionMatch',
  'sendInitialEvents',
  'timeoutSeconds',
  'watch',
].map(query)
const deleteParameters = ['dryRun', 'gracePeriodSeconds', 'orphanDependents', 'propagationPolicy'].map(query)

function pathsOf(path: string, kind: Kind): [string, unknown][] {
  const scope = kind.namespaced ? 'namespaces/{namespace}/' : ''
  const collection = `/${path}/${scope}${kind.plural}`
  const operation = (action: string, parameters: unknown[]): unknown => operationOf(kind, action, parameters)
  const one = {
    get: operation('get', []),
    put: operation('put', writeParameters),
    patch: operation('patch', [...writeParameters, query('force')]),
    delete: operation('delete', deleteParameters),
  }
  const paths: [string, unknown][] = [
    [
      collection,
      {
        get: operation('list', listParameters),
        post: operation('post', writeParameters),
        delete: operation('deletecollection', [...deleteParameters, ...listParameters]),
      },
    ],
    [`${collection}/{name}`, one],
  ]
  if (kind.hasStatus) paths.push([`${collection}/{name}/status`, { get: one.get, put: one.put, patch: one.patch }])
  return paths
}

function operationOf(kind: Kind, action: string, parameters: unknown[]): unknown {
  const { group, version } = kind
  const content = { 'application/json': { schema: { $ref: `#/components/schemas/${componentName(kind)}` } } }
  const hasBody = ['post', 'put', 'patch'].includes(action)
  return {
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': { group, version, kind: kind.kind },
    parameters,
    ...(hasBody ? { requestBody: { content } } : {}),
    responses: { 200: { description: 'OK', content } },
  }
}
