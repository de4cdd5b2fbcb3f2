import { type Kube, type Secret, secrets } from '#core/kube'
import type { ReadSecret } from './secrets.ts'

/** Reads Secrets by name from Kubernetes; the gateway may get them in the namespaces of instances, and list nowhere. */
export function kubeSecrets(kube: Kube): ReadSecret {
  return async (namespace, name) => {
    const secret = await kube.find<Secret>(secrets, { namespace, name })
    if (!secret) return undefined
    const entries = Object.entries(secret.data ?? {})
    return Object.fromEntries(entries.map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]))
  }
}
