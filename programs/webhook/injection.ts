import type { KubeObject, Resource } from '#core/kinds'
import { Informer, type Kube, mutatingWebhookConfigurations, validatingWebhookConfigurations } from '#core/kube'
import { blocksOf } from './certificate.ts'

/** Of the mutating and of the validating configuration alike. */
export const configurationName = 'k8sclaw-webhook'

export interface WebhookConfiguration extends KubeObject {
  webhooks?: { name: string; clientConfig: { caBundle?: string } }[]
}

/**
 * The two configurations by which API servers call this webhook, watched, so that applying the manifests again, which
 * drops the authority, costs a moment and not the next look.
 */
export class Configurations {
  readonly #kube: Kube
  readonly #informers: Informer<WebhookConfiguration>[]

  constructor(kube: Kube, options: { onChange: () => void; onError: (error: unknown) => void }) {
    this.#kube = kube
    const { onChange: add, onError } = options
    this.#informers = [mutatingWebhookConfigurations, validatingWebhookConfigurations].map((resource) => {
      const selection = { namespace: '*', fieldSelector: `metadata.name=${configurationName}` }
      const informer = new Informer<WebhookConfiguration>(kube, resource, { ...selection, onError })
      informer.on({ add, update: add, delete: add })
      return informer
    })
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#informers.map((informer) => informer.run(signal)))
  }

  /** Whether both are there, and every entry of both trusts this authority. */
  trust(authority: string): boolean {
    return this.#informers.every((informer) => {
      const entries = informer.get(configurationName)?.webhooks ?? []
      return entries.length > 0 && entries.every((entry) => authoritiesOf(entry).includes(authority))
    })
  }

  /** Writes the authorities into each entry that names others. */
  async inject(bundle: string): Promise<void> {
    for (const informer of this.#informers) {
      const found = informer.get(configurationName)
      if (found) await injectBundle(this.#kube, informer.resource, found, bundle)
    }
  }
}

/** The patch tests the version: what somebody else changed meanwhile is a failure, and not a wrong write. */
async function injectBundle(
  kube: Pick<Kube, 'patch'>,
  resource: Resource,
  { metadata, webhooks = [] }: WebhookConfiguration,
  bundle: string,
): Promise<void> {
  const value = Buffer.from(bundle).toString('base64')
  const changes = webhooks.flatMap(({ clientConfig }, i) =>
    clientConfig.caBundle === value ? [] : [{ op: 'add', path: `/webhooks/${i}/clientConfig/caBundle`, value }],
  )
  if (changes.length === 0) return
  const test = { op: 'test', path: '/metadata/resourceVersion', value: metadata.resourceVersion }
  await kube.patch(resource, { name: metadata.name }, [test, ...changes])
}

function authoritiesOf({ clientConfig }: { clientConfig: { caBundle?: string } }): string[] {
  return blocksOf(Buffer.from(clientConfig.caBundle ?? '', 'base64').toString())
}
