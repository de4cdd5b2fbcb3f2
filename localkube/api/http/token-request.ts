import type { Tokens } from '../access/tokens.ts'
import { ApiError, badRequest } from '../api-error.ts'
import { isObject, type Json, listAt, objectAt, stringAt } from '../json.ts'
import type { Store } from '../store/index.ts'
import type { MintedToken, TokenOptions } from '../types.ts'

/** `serviceaccounts/token`: the TokenRequest that was posted, with its token. */
export function answerTokenRequest(
  services: { tokens: Tokens; store: Store },
  namespace: string,
  name: string,
  body: unknown,
): Json {
  const request: Json = isObject(body) ? body : {}
  const spec = objectAt(request, 'spec')
  const options: TokenOptions = {}
  const audiences = listAt(spec, 'audiences').map(String)
  if (audiences.length > 0) options.audiences = audiences
  if (typeof spec.expirationSeconds === 'number') options.expirationSeconds = spec.expirationSeconds
  if (isObject(spec.boundObjectRef)) {
    if (stringAt(spec.boundObjectRef, 'kind') !== 'Pod') {
      throw badRequest('spec.boundObjectRef.kind: Unsupported value: tokens can be bound to a Pod only')
    }
    options.pod = { name: stringAt(spec.boundObjectRef, 'name'), uid: stringAt(spec.boundObjectRef, 'uid') }
  }
  const minted = mintFor(services, { namespace, name }, options)
  return {
    ...request,
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { name, namespace, creationTimestamp: new Date().toISOString() },
    status: minted,
  }
}

/** Mints for a ServiceAccount that exists and, where a pod is named, a pod that runs as it. */
export function mintFor(
  { tokens, store }: { tokens: Tokens; store: Store },
  { namespace, name }: { namespace: string; name: string },
  options: TokenOptions,
): MintedToken {
  const account = store.get({ resource: 'serviceaccounts', namespace, name })
  if (!account) {
    throw new ApiError(404, 'NotFound', `serviceaccounts "${name}" not found`, { name, kind: 'serviceaccounts' })
  }
  if (!options.pod) return tokens.mint({ namespace, name, uid: account.object.metadata.uid }, options)
  const pod = store.get({ resource: 'pods', namespace, name: options.pod.name })?.object
  const uid = options.pod.uid || pod?.metadata.uid || ''
  if (!pod || pod.metadata.uid !== uid) {
    throw new ApiError(404, 'NotFound', `pods "${options.pod.name}" not found with uid ${uid}`, { kind: 'pods' })
  }
  if (stringAt(pod, 'spec', 'serviceAccountName') !== name) {
    throw badRequest(`cannot bind a token of serviceaccount ${name} to pod ${options.pod.name}, which runs as another`)
  }
  const bound = { ...options, pod: { name: options.pod.name, uid } }
  return tokens.mint({ namespace, name, uid: account.object.metadata.uid }, bound)
}
