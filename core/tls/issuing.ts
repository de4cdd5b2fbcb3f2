/** What `issueCertificates` is asked for. */
export interface CertificateRequest<Name extends string> {
  /** Common name of the authority. Some clients tell authorities apart by it alone, so no two should share one. */
  authority: string
  /** One certificate each, for these DNS names and IP addresses. */
  leaves: Readonly<Record<Name, readonly string[]>>
  notBefore: Date
  notAfter: Date
}

/** A certificate and its key, both PEM, the key as PKCS #8. */
export interface Leaf {
  chain: string
  key: string
}

export interface Issued<Name extends string> {
  /** PEM. */
  authority: string
  leaves: Record<Name, Leaf>
}

/**
 * Server certificates under an authority made for them alone, whose key is forgotten at once: whoever reads a leaf's key
 * can serve under its names and sign nothing else. The X.509 library takes longer to load than most programs do, so it
 * is loaded only here.
 */
export async function issueCertificates<Name extends string>(wanted: CertificateRequest<Name>): Promise<Issued<Name>> {
  const { issue } = await import('./issue.ts')
  return await issue(wanted)
}
