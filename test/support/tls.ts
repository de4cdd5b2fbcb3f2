/** A server certificate for tests, in a folder as a mounted Secret has it, with the authority that a client believes. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { issueCertificates } from '#core/tls'

/** The servers inside the platform, as the Secret k8sclaw-tls names them. */
export type TlsServer = 'nats' | 'identity' | 'gateway' | 'apiserver'

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

/**
 * The Secret k8sclaw-tls as the Job of the keys makes it, for servers that are called by other names too: where pods are
 * processes of this machine, a Service is found by its address. Applied first, it is what the Job leaves as it is.
 */
export async function testTlsSecret(namespace: string, namesOf: (server: TlsServer) => readonly string[]) {
  const servers = ['nats', 'identity', 'gateway', 'apiserver'] as const
  const { authority, leaves } = await issueCertificates({
    authority: `a test's authority ${process.pid}-${++count}`,
    leaves: Object.fromEntries(servers.map((server) => [server, namesOf(server)])),
    notBefore: new Date(Date.now() - 86_400_000),
    notAfter: new Date(Date.now() + 3_600_000),
  })
  const pairs = Object.entries(leaves).flatMap(([server, { chain, key }]) => [
    [`${server}.crt`, chain] as const,
    [`${server}.key`, key] as const,
  ])
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  const data = Object.fromEntries(pairs.map(([name, text]) => [name, base64(text)]))
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'k8sclaw-tls', namespace },
    data: { ...data, 'ca.crt': base64(authority) },
  }
}

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
