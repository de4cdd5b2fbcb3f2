/** A server certificate for tests, in a folder as a mounted Secret has it, with the authority that a client believes. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { issueCertificates } from '#core/tls'

export interface TestCertificate {
  /** Holds tls.crt, tls.key and ca.crt: what K8SCLAW_TLS_DIR names. */
  dir: string
  /** What K8SCLAW_CA_FILE names. */
  caFile: string
  /** PEM, what K8SCLAW_CA holds. */
  ca: string
  close(): void
}

let count = 0

/** For these names and addresses, good for an hour and no longer than `until`. */
export async function testCertificate(
  names: readonly string[] = ['127.0.0.1', 'localhost'],
  until = new Date(Date.now() + 3_600_000),
): Promise<TestCertificate> {
  const { authority, leaves } = await issueCertificates({
    authority: `a test's authority ${process.pid}-${++count}`,
    leaves: { server: names },
    notBefore: new Date(Date.now() - 86_400_000),
    notAfter: until,
  })
  const dir = mkdtempSync(join(tmpdir(), 'k8sclaw-tls-'))
  const files = { 'tls.crt': leaves.server.chain, 'tls.key': leaves.server.key, 'ca.crt': authority }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text)
  return { dir, caFile: join(dir, 'ca.crt'), ca: authority, close: () => rmSync(dir, { recursive: true, force: true }) }
}
