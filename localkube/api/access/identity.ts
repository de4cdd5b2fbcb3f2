import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, X509Certificate } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'
import type { Certificate } from './certificates.ts'

const renewBeforeMs = 365 * 24 * 3600 * 1000

const certificate = z.object({ cert: z.string(), key: z.string() })

const savedIdentity = z.object({
  authority: certificate,
  server: certificate.extend({ names: z.array(z.string()) }),
  signingKey: z.string(),
  adminToken: z.string().min(32),
})
type SavedIdentity = z.infer<typeof savedIdentity>

/** What makes this server itself across restarts. */
export interface ServerIdentity {
  caPem: string
  /** What the server shows its clients. */
  certificate: Certificate
  /** Signs service-account tokens (ES256). */
  signingKey: KeyObject
  adminToken: string
}

/**
 * Reads `identity.json` of the data folder, or makes it. All secrets are in the one file, readable by its owner only.
 * The server certificate is issued anew when `names` differ from those it was made for, and with its authority when
 * either is out of its time: a machine whose clock was wrong when it first started is not lost with that.
 */
export async function loadIdentity(dataDir: string, names: string[], now = new Date()): Promise<ServerIdentity> {
  const file = join(dataDir, 'identity.json')
  const old = existsSync(file) ? readIdentity(file) : undefined
  const isCurrent =
    old &&
    JSON.stringify(old.server.names) === JSON.stringify(names) &&
    isInTime(old.server, now) &&
    isInTime(old.authority, now)
  const saved = isCurrent ? old : await makeIdentity(old, names, now)
  if (!isCurrent) writeDurably(file, JSON.stringify(saved, undefined, 2))
  return {
    caPem: saved.authority.cert,
    certificate: saved.server,
    signingKey: createPrivateKey(saved.signingKey),
    adminToken: saved.adminToken,
  }
}

function readIdentity(file: string): SavedIdentity {
  try {
    return savedIdentity.parse(JSON.parse(readFileSync(file, 'utf8')))
  } catch (error) {
    throw new Error(`${file} is damaged; restore it, or remove the data folder to start anew`, { cause: error })
  }
}

/** With room for as long as a server may go on without being started again. */
function isInTime({ cert }: Certificate, now: Date): boolean {
  const { validFromDate, validToDate } = new X509Certificate(cert)
  return validFromDate <= now && validToDate.getTime() - renewBeforeMs > now.getTime()
}

async function makeIdentity(old: SavedIdentity | undefined, names: string[], now: Date): Promise<SavedIdentity> {
  const { issueAuthority, issueCertificate } = await import('./certificates.ts')
  const kept = old && isInTime(old.authority, now) ? old.authority : undefined
  const authority = kept ?? (await issueAuthority(now))
  const signing = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return {
    authority,
    server: { ...(await issueCertificate(authority, names, now)), names },
    signingKey: old?.signingKey ?? signing.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    adminToken: old?.adminToken ?? randomBytes(32).toString('base64url'),
  }
}

/** Whole or not at all, also when the machine stops in between. */
function writeDurably(file: string, text: string): void {
  const temporary = `${file}.new`
  const descriptor = openSync(temporary, 'w', 0o600)
  writeSync(descriptor, text)
  fsyncSync(descriptor)
  closeSync(descriptor)
  renameSync(temporary, file)
}
