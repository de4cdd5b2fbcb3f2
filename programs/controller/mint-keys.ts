import { isClawError } from '#core/errors'
import { mintBusKeys } from '#core/identity'
import { type Kube, type Secret, secrets } from '#core/kube'
import type { Logger } from '#core/telemetry'

/** Makes the keys of this installation, once: a Secret that is there already is left as it is. */
export async function mintKeys(kube: Kube, namespace: string, log: Logger): Promise<void> {
  const data = Object.fromEntries(
    Object.entries(mintBusKeys()).map(([name, text]) => [name, Buffer.from(text).toString('base64')]),
  )
  const metadata = { name: 'k8sclaw-bus', namespace, labels: { 'app.kubernetes.io/managed-by': 'k8sclaw' } }
  try {
    await kube.create<Secret>(secrets, { apiVersion: 'v1', kind: 'Secret', metadata, type: 'Opaque', data })
    log.info({ secret: metadata.name, namespace }, 'keys minted')
  } catch (error) {
    if (!isClawError(error, 'already_exists')) throw error
    log.info({ secret: metadata.name, namespace }, 'keys are there already')
  }
}
