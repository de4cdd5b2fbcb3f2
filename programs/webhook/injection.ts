import type { KubeObject } from '#core/kinds'
import { type Kube, validatingWebhookConfigurations } from '#core/kube'

export const configurationName = 'k8sclaw-webhook'

export interface WebhookConfiguration extends KubeObject {
  webhooks?: { name: string; clientConfig: { caBundle?: string } }[]
}

/**
 * Tells the API server which authority to trust, where the configuration does not say so yet. Each entry is tested by
 * name in the same patch, so that an entry moved by somebody else meanwhile is a conflict and not a wrong write.
 */
export async function injectAuthority(
  kube: Pick<Kube, 'patch'>,
  configuration: WebhookConfiguration,
  authority: string,
): Promise<void> {
  const caBundle = Buffer.from(authority).toString('base64')
  const patch = (configuration.webhooks ?? []).flatMap(({ name, clientConfig }, i) =>
    clientConfig.caBundle === caBundle
      ? []
      : [
          { op: 'test', path: `/webhooks/${i}/name`, value: name },
          { op: 'add', path: `/webhooks/${i}/clientConfig/caBundle`, value: caBundle },
        ],
  )
  if (patch.length > 0) await kube.patch(validatingWebhookConfigurations, { name: configurationName }, patch)
}
