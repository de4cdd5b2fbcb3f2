import { isClawError } from '#core/errors'
import { type Kube, type Secret, secrets } from '#core/kube'
import { type Certificate, isDue, isUsable, renewed } from './certificate.ts'

export const certificateSecret = 'k8sclaw-webhook-cert'

export interface KeeperOptions {
  kube: Pick<Kube, 'find' | 'create' | 'update' | 'get'>
  namespace: string
  /** DNS names under which the webhook is called. */
  names: readonly string[]
  now?: () => Date
}

/**
 * The certificate that all replicas share, from its Secret. Makes it where there is none, replaces it before it expires
 * or where it is unusable, and takes what another replica wrote in between.
 */
export async function keepCertificate({
  kube,
  namespace,
  names,
  now = () => new Date(),
}: KeeperOptions): Promise<Certificate> {
  const at = { name: certificateSecret, namespace }
  const existing = await kube.find<Secret>(secrets, at)
  const held = existing && fromSecret(existing)
  const usable = held && isUsable(held, names, now()) ? held : undefined
  if (usable && !isDue(usable, now())) return usable

  const issued = await renewed(names, now(), usable)
  try {
    if (existing) await kube.update<Secret>(secrets, { ...existing, data: toData(issued) })
    else {
      await kube.create<Secret>(secrets, {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { ...at },
        type: 'kubernetes.io/tls',
        data: toData(issued),
      })
    }
    return issued
  } catch (error) {
    if (!isClawError(error, 'already_exists', 'conflict')) throw error
    return fromSecret(await kube.get<Secret>(secrets, at))
  }
}

function fromSecret({ data = {} }: Secret): Certificate {
  const text = (key: string) => Buffer.from(data[key] ?? '', 'base64').toString()
  return { authority: text('ca.crt'), chain: text('tls.crt'), key: text('tls.key') }
}

function toData({ authority, chain, key }: Certificate): Record<string, string> {
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  return { 'ca.crt': base64(authority), 'tls.crt': base64(chain), 'tls.key': base64(key) }
}
