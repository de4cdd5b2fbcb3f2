import { webcrypto } from 'node:crypto'
import { isIP } from 'node:net'

/**
 * A certificate authority and a server certificate, ECDSA on P-256. This file alone needs the X.509 library, which
 * takes a tenth of a second to load: callers import it only when there is something to issue.
 */
import 'reflect-metadata'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const tenYears = 10 * 365 * 24 * 3600 * 1000

/** Both as PEM; the key is PKCS #8. */
export interface Certificate {
  cert: string
  key: string
}

export async function issueAuthority(now = new Date()): Promise<Certificate> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=localkube',
    keys,
    signingAlgorithm: algorithm,
    ...validity(now),
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { cert: certificate.toString('pem'), key: await exportPrivateKey(keys.privateKey) }
}

/** A server certificate for these host names and addresses. */
export async function issueCertificate(
  authority: Certificate,
  names: string[],
  now = new Date(),
): Promise<Certificate> {
  const ca = new X509Certificate(authority.cert)
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const certificate = await X509CertificateGenerator.create({
    subject: 'CN=localkube-apiserver',
    issuer: ca.subject,
    publicKey: keys.publicKey,
    signingKey: await importPrivateKey(authority.key),
    signingAlgorithm: algorithm,
    ...validity(now),
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(
        names.map((name) => ({ type: isIP(name) ? ('ip' as const) : ('dns' as const), value: name })),
      ),
      await AuthorityKeyIdentifierExtension.create(ca),
    ],
  })
  return { cert: certificate.toString('pem'), key: await exportPrivateKey(keys.privateKey) }
}

/** An hour of slack for clocks that run behind. */
function validity(now: Date): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(now.getTime() - 3_600_000), notAfter: new Date(now.getTime() + tenYears) }
}

async function exportPrivateKey(key: webcrypto.CryptoKey): Promise<string> {
  return PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')
}

function importPrivateKey(pem: string): Promise<webcrypto.CryptoKey> {
  const [der] = PemConverter.decode(pem)
  if (!der) throw new Error('the key of the certificate authority is not PEM')
  return webcrypto.subtle.importKey('pkcs8', der, algorithm, true, ['sign'])
}
