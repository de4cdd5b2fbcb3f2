import { parseFieldSelector } from '../selector.ts'

/** What a request is about, as authorization sees it. */
export interface ResourceRequest {
  group: string
  version: string
  plural: string
  namespace: string
  name: string
  subresource: string
  verb: string
  /** What follows `/proxy`, slash included; '' elsewhere. */
  rest: string
}

const verbs: Record<string, [withName: string, withoutName: string]> = {
  GET: ['get', 'list'],
  HEAD: ['get', 'list'],
  POST: ['create', 'create'],
  PUT: ['update', 'update'],
  PATCH: ['patch', 'patch'],
  DELETE: ['delete', 'deletecollection'],
}

/** Undefined when the path is none of a resource, for example /version or /apis/apps/v1. */
export function parseResourceRequest(
  method: string,
  path: string,
  query: URLSearchParams,
): ResourceRequest | undefined {
  const parts = path.split('/').slice(1)
  let group = ''
  let version = ''
  let rest: string[] = []
  if (parts[0] === 'api') [, version = '', ...rest] = parts
  else if (parts[0] === 'apis') [, group = '', version = '', ...rest] = parts
  if (!version || rest.length === 0 || rest[0] === '') return undefined
  let namespace = ''
  const isScoped = rest[0] === 'namespaces' && rest.length > 2 && !['status', 'finalize'].includes(rest[2] ?? '')
  if (isScoped) {
    namespace = decode(rest[1])
    rest = rest.slice(2)
  }
  const plural = decode(rest[0])
  const name = decode(rest[1])
  const subresource = decode(rest[2])
  const tail = subresource === 'proxy' ? `/${rest.slice(3).join('/')}` : ''
  if (subresource !== 'proxy' && rest.length > 3) return undefined
  const request = { group, version, plural, namespace, name, subresource, rest: tail, verb: '' }
  return withVerb(request, method, query)
}

function withVerb(request: ResourceRequest, method: string, query: URLSearchParams): ResourceRequest {
  const [withName, withoutName] = verbs[method] ?? ['', '']
  const isNamed = request.name !== ''
  let verb = isNamed ? withName : withoutName
  let { name } = request
  if (verb === 'list' && isTrue(query.get('watch'))) verb = 'watch'
  if (!isNamed && ['list', 'watch', 'deletecollection'].includes(verb)) {
    // So that a role with resourceNames lets its holder watch that one object, as `kubectl get -w NAME` does.
    const only = safeFieldSelector(query).find(({ field, isEqual }) => field === 'metadata.name' && isEqual)
    name = only?.value ?? ''
  }
  if (request.plural === 'namespaces' && request.group === '' && isNamed && !request.namespace) {
    return { ...request, verb, name, namespace: name }
  }
  return { ...request, verb, name }
}

export function isTrue(value: string | null): boolean {
  return value === 'true' || value === '1'
}

function safeFieldSelector(query: URLSearchParams): ReturnType<typeof parseFieldSelector> {
  try {
    return parseFieldSelector(query.get('fieldSelector') ?? '')
  } catch {
    return [] // The list itself reports what is wrong with it.
  }
}

function decode(part: string | undefined): string {
  try {
    return decodeURIComponent(part ?? '')
  } catch {
    return part ?? '' // Not a valid escape, so no object has this name either.
  }
}
