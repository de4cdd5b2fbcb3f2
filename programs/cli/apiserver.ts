import { ClawError, errorMessage } from '#core/errors'
import { type Kube, pathSegment, type RawRequest, type RawResponse } from '#core/kube'

/** The Service of the API server, in the namespace of the platform. */
const service = '/api/v1/namespaces/k8sclaw-system/services'

/**
 * Asks the API server through the service proxy, that is with nothing but a kubeconfig. What it speaks is the name of
 * its port: where there is no port `https`, Kubernetes itself answers 503, and the port `http` is asked. So this needs
 * no right but that to use the proxy, and what is meant for TLS is never sent without it.
 */
export async function askApiserver(kube: Kube, path: string, request: RawRequest = {}): Promise<RawResponse> {
  const secure = await kube.request(`${service}/https:k8sclaw-apiserver:https/proxy${path}`, request)
  if (secure.status !== 503 || !isFromKubernetes(secure)) return secure
  await secure.text()
  return await kube.request(`${service}/http:k8sclaw-apiserver:http/proxy${path}`, request)
}

/** Its errors are a Status; those of the platform are problem+json. */
function isFromKubernetes({ headers }: RawResponse): boolean {
  return headers['content-type']?.startsWith('application/json') ?? false
}

/**
 * The header by which the API server knows the caller: kube-apiserver removes Authorization before it proxies. Throws
 * `unauthenticated` for a kubeconfig that has no token.
 */
export async function credentials(kube: Kube): Promise<Record<string, string>> {
  const token = await kube.bearerToken()
  if (token) return { 'X-K8sClaw-Authorization': `Bearer ${token}` }
  throw new ClawError(
    'unauthenticated',
    'this needs a token: the kubeconfig has only a client certificate (kinds work with it; streams, sessions and usage do not)',
  )
}

export interface ApiCall {
  method?: string
  /** Sent as JSON. */
  body?: object
}

/** Asks for JSON under `/api/v1/namespaces/<namespace>/`, with the caller's token. Throws what the server refused. */
export async function callApi<T>(kube: Kube, namespace: string, path: string, call: ApiCall = {}): Promise<T> {
  return await callPath(kube, `/api/v1/namespaces/${pathSegment(namespace)}/${path}`, call)
}

/** The same at a path that names no namespace. */
export async function callPath<T>(kube: Kube, path: string, { method = 'GET', body }: ApiCall = {}): Promise<T> {
  const headers = { ...(await credentials(kube)), ...(body && { 'Content-Type': 'application/json' }) }
  const response = await askApiserver(kube, path, { method, headers, ...(body && { body: JSON.stringify(body) }) })
  const text = await response.text()
  if (response.status >= 300) throw refusalOf(response.status, text)
  return (text === '' ? undefined : JSON.parse(text)) as T
}

/** What the server said, as the error that it is. What it refuses it says in a sentence, which stands by itself. */
export function refusalOf(status: number, body: string): ClawError {
  let said = body.slice(0, 300)
  let sentence: string | undefined
  try {
    const problem = JSON.parse(body) as { detail?: string; title?: string; message?: string }
    if (status < 500) sentence = problem.detail
    said = problem.detail ?? problem.message ?? problem.title ?? said
  } catch (error) {
    said ||= errorMessage(error)
  }
  const retryable = status >= 500 || status === 429
  const code =
    status === 401 ? 'unauthenticated' : status === 403 ? 'forbidden' : status === 404 ? 'not_found' : 'unavailable'
  return new ClawError(code, sentence ?? `the API server answered ${status}: ${said}`, { retryable })
}
