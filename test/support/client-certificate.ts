import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  X509CertificateGenerator,
} from '@peculiar/x509'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const day = 86_400_000

export interface ClientCertificate {
  /** PEM of the authority to trust. */
  authority: string
  certificate: string
  key: string
}

/** A certificate by which kube-apiserver knows a user of a group; the authority's key is forgotten at once. */
export async function clientCertificate(user: string, group: string): Promise<ClientCertificate> {
  const authorityKeys = await webcrypto.subtle.generateKey(algorithm, false, ['sign', 'verify'])
  const userKeys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const issuer = 'CN=k8sclaw-test-clients'
  const common = {
    notBefore: new Date(Date.now() - day),
    notAfter: new Date(Date.now() + day),
    signingAlgorithm: algorithm,
  }
  const authority = await X509CertificateGenerator.createSelfSigned({
    ...common,
    name: issuer,
    keys: authorityKeys,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
    ],
  })
  const leaf = await X509CertificateGenerator.create({
    ...common,
    subject: [{ O: [group] }, { CN: [user] }],
    issuer,
    publicKey: userKeys.publicKey,
    signingKey: authorityKeys.privateKey,
    extensions: [
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
    ],
  })
  const key = await webcrypto.subtle.exportKey('pkcs8', userKeys.privateKey)
  return {
    authority: authority.toString('pem'),
    certificate: leaf.toString('pem'),
    key: PemConverter.encode(key, 'PRIVATE KEY'),
  }
}
