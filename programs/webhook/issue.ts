/**
 * Makes certificates. This file alone needs the X.509 library, which takes longer to load than the rest of the program:
 * it is imported only when there is something to issue.
 */
import 'reflect-metadata'
import { randomBytes, webcrypto } from 'node:crypto'
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
  X509CertificateGenerator,
} from '@peculiar/x509'
import type { Certificate } from './certificate.ts'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const day = 86_400_000
const lifetimeMs = 365 * day

/**
 * A certificate for `names`, signed by an authority made for it alone whose key is forgotten at once: whoever reads the
 * Secret can serve under these names and sign nothing else. `trusted` is an authority, as PEM, under which replicas may
 * still serve until they notice; it stays trusted beside the new one.
 */
export async function issueCertificate(names: readonly string[], now: Date, trusted = ''): Promise<Certificate> {
  const authorityKeys = await webcrypto.subtle.generateKey(algorithm, false, ['sign', 'verify'])
  const serverKeys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const issuer = `CN=k8sclaw-webhook-ca-${randomBytes(6).toString('hex')}`
  const common = {
    notBefore: new Date(now.getTime() - day),
    notAfter: new Date(now.getTime() + lifetimeMs),
    signingAlgorithm: algorithm,
  }
  const authority = await X509CertificateGenerator.createSelfSigned({
    ...common,
    name: issuer,
    keys: authorityKeys,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
      await SubjectKeyIdentifierExtension.create(authorityKeys.publicKey),
    ],
  })
  const leaf = await X509CertificateGenerator.create({
    ...common,
    subject: [{ CN: [names[0] ?? ''] }],
    issuer,
    publicKey: serverKeys.publicKey,
    signingKey: authorityKeys.privateKey,
    extensions: [
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns', value }))),
      await AuthorityKeyIdentifierExtension.create(authorityKeys.publicKey),
      await SubjectKeyIdentifierExtension.create(serverKeys.publicKey),
    ],
  })
  return {
    authority: pem(authority.toString('pem')) + trusted,
    chain: pem(leaf.toString('pem')),
    key: pem(PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', serverKeys.privateKey), 'PRIVATE KEY')),
  }
}

/** One block, ended by a line break, so that blocks can be put one after another. */
function pem(block: string): string {
  return `${block.trimEnd()}\n`
}
