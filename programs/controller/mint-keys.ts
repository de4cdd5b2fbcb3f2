import { randomBytes } from 'node:crypto'
import { isClawError } from '#core/errors'
import { mintBusKeys } from '#core/identity'
import { type Kube, type Secret, secrets } from '#core/kube'
import type { Logger } from '#core/telemetry'
import { issueCertificates } from '#core/tls'

const day = 86_400_000
/** As long as the authority: its key is forgotten, so no other certificate can follow under it. */
const lifetimeMs = 3650 * day

/** The servers inside the platform that are served over TLS, each with the name of its Service. */
const servers = {
  nats: 'k8sclaw-nats',
  identity: 'k8sclaw-identity',
  gateway: 'k8sclaw-gateway',
  apiserver: 'k8sclaw-apiserver',
  database: 'k8sclaw-database',
} as const

/** Makes the keys of the bus, once: a Secret that is there already is left as it is. */
export async function mintBusSecret(kube: Kube, namespace: string, log: Logger): Promise<void> {
  await createOnce(kube, namespace, 'k8sclaw-bus', mintBusKeys(), log)
}

/**
 * Makes an authority and a certificate of each server, once. They are one Secret, each server's pod mounts its own part:
 * created at once or not at all, so that a Job that is killed and run again never leaves certificates of two authorities.
 */
export async function mintTlsSecret(kube: Kube, namespace: string, log: Logger): Promise<void> {
  const { authority, leaves } = await issueCertificates({
    authority: `k8sclaw-ca-${randomBytes(6).toString('hex')}`,
    leaves: Object.fromEntries(Object.entries(servers).map(([name, service]) => [name, namesOf(service, namespace)])),
    notBefore: new Date(Date.now() - day),
    notAfter: new Date(Date.now() + lifetimeMs),
  })
  const pairs = Object.entries(leaves).flatMap(([name, { chain, key }]) => [
    [`${name}.crt`, chain],
    [`${name}.key`, key],
  ])
  await createOnce(kube, namespace, 'k8sclaw-tls', { 'ca.crt': authority, ...Object.fromEntries(pairs) }, log)
}

/**
 * Makes the password of the database that config/postgres installs, once, and the URL by which the API server reaches
 * it: over TLS, believing the authority that every program is given.
 */
export async function mintDatabaseSecret(kube: Kube, namespace: string, log: Logger): Promise<void> {
  const password = randomBytes(24).toString('base64url')
  const host = `${servers.database}.${namespace}.svc`
  const trust = 'sslmode=verify-full&sslrootcert=/etc/k8sclaw/tls/ca.crt'
  const url = `postgres://k8sclaw:${password}@${host}:5432/k8sclaw?${trust}`
  await createOnce(kube, namespace, 'k8sclaw-database', { password, url }, log)
}

/** What a Service is called inside the cluster, from near to far. */
function namesOf(service: string, namespace: string): string[] {
  const inNamespace = `${service}.${namespace}`
  return [service, inNamespace, `${inNamespace}.svc`, `${inNamespace}.svc.cluster.local`]
}

async function createOnce(
  kube: Kube,
  namespace: string,
  name: string,
  texts: Record<string, string>,
  log: Logger,
): Promise<void> {
  const data = Object.fromEntries(
    Object.entries(texts).map(([key, text]) => [key, Buffer.from(text).toString('base64')]),
  )
  const metadata = { name, namespace, labels: { 'app.kubernetes.io/managed-by': 'k8sclaw' } }
  try {
    await kube.create<Secret>(secrets, { apiVersion: 'v1', kind: 'Secret', metadata, type: 'Opaque', data })
    log.info({ secret: name, namespace }, 'keys minted')
  } catch (error) {
    if (!isClawError(error, 'already_exists')) throw error
    log.info({ secret: name, namespace }, 'keys are there already')
  }
}
