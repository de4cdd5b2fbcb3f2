import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto'
import * as der from './der.ts'

/** What the certificate Secret holds, each PEM. `authority` holds the old authority after the new one while both are trusted. */
export interface Certificate {
  authority: string
  chain: string
  key: string
}

const day = 86_400_000
const lifetimeMs = 365 * day
const renewBeforeMs = 60 * day

const ecdsaWithSha256 = der.sequence(der.oid('1.2.840.10045.4.3.2'))

/**
 * A certificate for `names`, signed by an authority made for it alone whose key is forgotten at once: whoever reads the
 * Secret can serve under these names and sign nothing else. `trusted` is what replicas may still serve until they notice.
 */
export function issueCertificate(names: readonly string[], now: Date, trusted?: Certificate): Certificate {
  const authority = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const server = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const issuer = `k8sclaw-webhook-ca-${randomBytes(6).toString('hex')}`
  const notBefore = new Date(now.getTime() - day)
  const notAfter = new Date(now.getTime() + lifetimeMs)
  const common = { issuer, issuerKey: authority, notBefore, notAfter }
  const ca = signed({
    ...common,
    subject: issuer,
    publicKey: authority.publicKey,
    extensions: [
      extension('2.5.29.19', true, der.sequence(der.boolean(true))),
      extension('2.5.29.15', true, der.bits(Buffer.of(0b0000_0100), 2)),
    ],
  })
  const leaf = signed({
    ...common,
    subject: names[0] ?? '',
    publicKey: server.publicKey,
    extensions: [
      extension('2.5.29.15', true, der.bits(Buffer.of(0b1000_0000), 7)),
      extension('2.5.29.37', false, der.sequence(der.oid('1.3.6.1.5.5.7.3.1'))),
      extension('2.5.29.17', false, der.sequence(...names.map((name) => der.implicit(2, Buffer.from(name))))),
      extension('2.5.29.35', false, der.sequence(der.implicit(0, keyId(authority.publicKey)))),
    ],
  })
  const before = trusted && expiresAt(trusted.authority) > now.getTime() ? firstOf(trusted.authority) : ''
  return {
    authority: pem(ca) + before,
    chain: pem(leaf),
    key: server.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
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

interface Unsigned {
  subject: string
  publicKey: KeyObject
  issuer: string
  issuerKey: { publicKey: KeyObject; privateKey: KeyObject }
  notBefore: Date
  notAfter: Date
  extensions: Buffer[]
}

/** An X.509 v3 certificate (RFC 5280, 4.1), signed with ECDSA over SHA-256. */
function signed({ subject, publicKey, issuer, issuerKey, notBefore, notAfter, extensions }: Unsigned): Buffer {
  const subjectKeyId = extension('2.5.29.14', false, der.octets(keyId(publicKey)))
  const body = der.sequence(
    der.context(0, der.integer(Buffer.of(2))),
    der.integer(randomBytes(16)),
    ecdsaWithSha256,
    commonName(issuer),
    der.sequence(der.time(notBefore), der.time(notAfter)),
    commonName(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    der.context(3, der.sequence(...extensions, subjectKeyId)),
  )
  return der.sequence(body, ecdsaWithSha256, der.bits(sign('sha256', body, issuerKey.privateKey)))
}

function commonName(text: string): Buffer {
  return der.sequence(der.set(der.sequence(der.oid('2.5.4.3'), der.utf8(text))))
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return der.sequence(der.oid(id), ...(critical ? [der.boolean(true)] : []), der.octets(value))
}

function keyId(key: KeyObject): Buffer {
  return createHash('sha1')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest()
}

function pem(content: Buffer): string {
  const lines = content.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

function firstOf(pemText: string): string {
  return new X509Certificate(pemText).toString()
}

function expiresAt(pemText: string): number {
  return new X509Certificate(pemText).validToDate.getTime()
}
