/** Makes certificates: ECDSA on P-256. This file alone needs the X.509 library; `issuing.ts` loads it when it is needed. */
import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import { isIP } from 'node:net'
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
import type { CertificateRequest, Issued, Leaf } from './issuing.ts'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

export async function issue<Name extends string>(wanted: CertificateRequest<Name>): Promise<Issued<Name>> {
  const { authority: commonName, leaves, notBefore, notAfter } = wanted
  const authorityKeys = await webcrypto.subtle.generateKey(algorithm, false, ['sign', 'verify'])
  const issuer = [{ CN: [commonName] }]
  const common = { notBefore, notAfter, signingAlgorithm: algorithm }
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
  const leaf = async (names: readonly string[]): Promise<Leaf> => {
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
    const certificate = await X509CertificateGenerator.create({
      ...common,
      subject: [{ CN: [names[0] ?? ''] }],
      issuer,
      publicKey: keys.publicKey,
      signingKey: authorityKeys.privateKey,
      extensions: [
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
        new SubjectAlternativeNameExtension(names.map((value) => ({ type: isIP(value) ? 'ip' : 'dns', value }))),
        await AuthorityKeyIdentifierExtension.create(authorityKeys.publicKey),
        await SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    })
    const key = PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY')
    return { chain: pem(certificate.toString('pem')), key: pem(key) }
  }
  const issued = Object.entries<readonly string[]>(leaves).map(async ([name, names]) => [name, await leaf(names)])
  return {
    authority: pem(authority.toString('pem')),
    leaves: Object.fromEntries(await Promise.all(issued)) as Record<Name, Leaf>,
  }
}

/** One block, ended by a line break, so that blocks can be put one after another. */
function pem(block: string): string {
  return `${block.trimEnd()}\n`
}
