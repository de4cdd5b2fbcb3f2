import { isClawError } from '#core/errors'
import { type ConfigMap, configMaps, type Kube } from '#core/kube'

const name = 'k8sclaw-identity'
const key = 'run-token.public.pem'

/** Publishes the key by which the gateway knows run tokens, in ConfigMap k8sclaw-identity. */
export async function publishTokenKey(kube: Kube, namespace: string, publicPem: string): Promise<void> {
  const data = { [key]: publicPem }
  try {
    await kube.create<ConfigMap>(configMaps, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace },
      data,
    })
  } catch (error) {
    if (!isClawError(error, 'already_exists')) throw error
    const present = await kube.get<ConfigMap>(configMaps, { name, namespace })
    if (present.data?.[key] !== publicPem) await kube.patch(configMaps, { name, namespace }, { data })
  }
}
