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
      const { apiVersion = '', kind = '' } = spec.boundObjectRef
      const type = String(apiVersion).includes('/') ? String(apiVersion) : `/${String(apiVersion)}`
      throw badRequest(`cannot bind token to object of type ${type}, Kind=${String(kind)}`)
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
  const about = { name: options.pod.name, kind: 'pods' }
  if (!pod) throw new ApiError(404, 'NotFound', `pods "${about.name}" not found`, about)
  const { uid } = pod.metadata
  if (options.pod.uid && options.pod.uid !== uid) {
    const why = `the UID in the bound object reference (${options.pod.uid}) does not match the UID in record. The object might have been deleted and then recreated`
    throw new ApiError(409, 'Conflict', `Operation cannot be fulfilled on pods "${about.name}": ${why}`, about)
  }
  if (stringAt(pod, 'spec', 'serviceAccountName') !== name) {
    throw badRequest(
      `cannot bind token for serviceaccount "${name}" to pod running with different serviceaccount name.`,
    )
  }
  const bound = { ...options, pod: { name: about.name, uid } }
  return tokens.mint({ namespace, name, uid: account.object.metadata.uid }, bound)
}
