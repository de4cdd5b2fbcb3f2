import type { Kube, RawRequest, RawResponse } from '#core/kube'

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
