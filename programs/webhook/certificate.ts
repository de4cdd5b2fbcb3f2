import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { issueCertificates } from '#core/tls'

/** One server certificate with its key and the authority that was made for it, each PEM. */
export interface Certificate {
  authority: string
  chain: string
  key: string
}

const day = 86_400_000
const lifetimeMs = 365 * day
const renewBeforeMs = 60 * day

/** A certificate for these DNS names and addresses, good from a day before `now`, because clocks differ. */
export async function issueCertificate(names: readonly string[], now: Date): Promise<Certificate> {
  const { authority, leaves } = await issueCertificates({
    authority: `k8sclaw-webhook-ca-${randomBytes(6).toString('hex')}`,
    leaves: { webhook: names },
    notBefore: new Date(now.getTime() - day),
    notAfter: new Date(now.getTime() + lifetimeMs),
  })
  return { authority, ...leaves.webhook }
}

/** Whether it can be served at `now`: it parses, its parts belong together, and it is in its time. */
export function isUsable({ authority, chain, key }: Certificate, now: Date): boolean {
  try {
    const leaf = new X509Certificate(chain)
    const isInTime = leaf.validFromDate <= now && now < leaf.validToDate
    return isInTime && leaf.checkPrivateKey(createPrivateKey(key)) && isSignedBy(chain, authority)
  } catch {
    // Whatever is wrong with it, the answer is to issue another.
    return false
  }
}

/** Whether a client that calls any of these names or addresses finds it in the certificate. */
export function covers({ chain }: Certificate, names: readonly string[]): boolean {
  const leaf = new X509Certificate(chain)
  return names.every((name) => (isIP(name) ? leaf.checkIP(name) : leaf.checkHost(name)) !== undefined)
}

/** The names and addresses in the certificate. */
export function namesOf({ chain }: Certificate): string[] {
  const alternatives = new X509Certificate(chain).subjectAltName ?? ''
  return [...alternatives.matchAll(/(?:DNS|IP Address):([^,\s]+)/g)].map(([, name = '']) => name)
}

/** Whether it is time to replace a usable certificate. */
export function isDue({ chain }: Certificate, now: Date): boolean {
  return new X509Certificate(chain).validToDate.getTime() - renewBeforeMs <= now.getTime()
}

/** Whether an authority of the bundle signed this certificate. What does not parse signed nothing. */
export function isSignedBy(chain: string, bundle: string): boolean {
  const leaf = new X509Certificate(chain)
  return blocksOf(bundle).some((authority) => {
    const { publicKey } = new X509Certificate(authority)
    return leaf.verify(publicKey)
  })
}

/** The certificates of a PEM text, one by one. */
export function blocksOf(pem: string): string[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  return blocks.map((block) => `${block}\n`)
}
