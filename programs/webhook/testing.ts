/** For tests: this webhook's configurations in a cluster of localkube's API, calling replicas on this machine by URL. */
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { parse } from 'yaml'
import type { KubeObject } from '#core/kinds'
import {
  type Kube,
  mutatingWebhookConfigurations,
  type Secret,
  secrets,
  validatingWebhookConfigurations,
} from '#core/kube'
import { configurationName, type WebhookConfiguration } from './injection.ts'
import { certificateSecret } from './keeper.ts'

export const systemNamespace = 'k8sclaw-system'
export const secretAddress = { name: certificateSecret, namespace: systemNamespace }

const files = { mutating: mutatingWebhookConfigurations, validating: validatingWebhookConfigurations }

/** Both configurations as config/webhook has them, with `url` in the place of the Service. */
export function configurations(url: string) {
  return Object.entries(files).map(([file, resource]) => {
    const object = parse(readFileSync(`config/webhook/${file}.yaml`, 'utf8')) as KubeObject & {
      webhooks: { clientConfig: { service: { path: string } } }[]
    }
    const webhooks = object.webhooks.map((entry) => ({
      ...entry,
      clientConfig: { url: url + entry.clientConfig.service.path },
    }))
    return { resource, object: { ...object, webhooks } }
  })
}

export async function install(admin: Kube, url: string): Promise<void> {
  for (const { resource, object } of configurations(url)) await admin.create(resource, object)
}

/** What each entry of both configurations trusts, as PEM. */
export async function bundles(admin: Kube): Promise<string[]> {
  const found = await Promise.all(
    Object.values(files).map((resource) => admin.get<WebhookConfiguration>(resource, { name: configurationName })),
  )
  return found.flatMap(({ webhooks = [] }) =>
    webhooks.map(({ clientConfig }) => Buffer.from(clientConfig.caBundle ?? '', 'base64').toString()),
  )
}

/** The text under a key of the certificate Secret. */
export async function secretText(admin: Kube, key: string): Promise<string> {
  const secret = await admin.find<Secret>(secrets, secretAddress)
  return Buffer.from(secret?.data?.[key] ?? '', 'base64').toString()
}

/** An answer of a replica, and the certificate that it showed; an error message where TLS found it wanting. */
export function call(
  port: number,
  ca: string,
  path = '/readyz',
): Promise<{ status: number; fingerprint: string } | string> {
  return new Promise((resolve) => {
    const outgoing = request({ host: '127.0.0.1', port, ca, path, agent: false }, (response) => {
      response.resume()
      const { fingerprint256 } = (response.socket as import('node:tls').TLSSocket).getPeerCertificate()
      response.on('end', () => resolve({ status: response.statusCode ?? 0, fingerprint: fingerprint256 }))
    })
    outgoing.on('error', (error) => resolve(error.message))
    outgoing.end()
  })
}
