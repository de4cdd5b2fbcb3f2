import { createPrivateKey, X509Certificate } from 'node:crypto'

/** What the certificate Secret holds, each PEM. `authority` holds the old authority after the new one while both are trusted. */
export interface Certificate {
  authority: string
  chain: string
  key: string
}

const day = 86_400_000
const renewBeforeMs = 60 * day

/** A new certificate for `names`; the authority of `held`, unless it has expired, stays trusted beside the new one. */
export async function renewed(names: readonly string[], now: Date, held?: Certificate): Promise<Certificate> {
  const { issueCertificate } = await import('./issue.ts')
  const trusted = held && expiresAt(held.authority) > now.getTime() ? firstOf(held.authority) : ''
  return issueCertificate(names, now, trusted)
}

/** Whether what a Secret holds can be served: it parses, its parts belong together, and every name is in it. */
export function isUsable({ authority, chain, key }: Certificate, names: readonly string[], now: Date): boolean {
  try {
    const leaf = new X509Certificate(chain)
    const ca = new X509Certificate(authority)
    return (
      leaf.checkPrivateKey(createPrivateKey(key)) &&
      leaf.verify(ca.publicKey) &&
      names.every((name) => leaf.checkHost(name) !== undefined) &&
      leaf.validToDate.getTime() > now.getTime()
    )
  } catch {
    // Whatever is wrong with it, the answer is to issue another.
    return false
  }
}

/** Whether it is time to replace a usable certificate. */
export function isDue({ chain }: Certificate, now: Date): boolean {
  return expiresAt(chain) - renewBeforeMs <= now.getTime()
}

function firstOf(pemText: string): string {
  return new X509Certificate(pemText).toString()
}

function expiresAt(pemText: string): number {
  return new X509Certificate(pemText).validToDate.getTime()
}
