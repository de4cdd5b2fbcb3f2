import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, get } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Certificate, isDue, isUsable, renewed } from './certificate.ts'

const names = ['k8sclaw-webhook.k8sclaw-system.svc', 'k8sclaw-webhook.k8sclaw-system.svc.cluster.local']
const now = new Date('2026-05-01T12:00:00Z')
const after = (days: number) => new Date(now.getTime() + days * 86_400_000)

test('openssl finds the chain good, strictly, and for each of the names', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'k8sclaw-cert-'))
  try {
    const { authority, chain } = await renewed(names, new Date())
    writeFileSync(join(folder, 'ca.pem'), authority)
    writeFileSync(join(folder, 'leaf.pem'), chain)
    for (const name of names) {
      const args = ['verify', '-x509_strict', '-purpose', 'sslserver', '-verify_hostname', name]
      const out = execFileSync('openssl', [...args, '-CAfile', 'ca.pem', 'leaf.pem'], { cwd: folder, encoding: 'utf8' })
      expect(out).toBe('leaf.pem: OK\n')
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a client that trusts the authority reaches the server under its name and under no other', async () => {
  const { authority, chain, key } = await renewed(names, new Date())
  const server = createServer({ cert: chain, key }, (_, response) => response.end('hello'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const reach = (servername: string, ca: string) =>
    new Promise((resolve, reject) => {
      get({ port, host: '127.0.0.1', servername, ca, agent: false }, (r) => resolve(r.statusCode)).on('error', reject)
    })
  try {
    expect(await reach(names[0] ?? '', authority)).toBe(200)
    await expect(reach('other.k8sclaw-system.svc', authority)).rejects.toThrow('does not match')
    const stranger = await renewed(names, new Date())
    await expect(reach(names[0] ?? '', stranger.authority)).rejects.toThrow()
  } finally {
    server.close()
  }
})

test('is replaced well before it expires, and the old authority stays trusted as long as it can be served', async () => {
  const first = await renewed(names, now)
  expect(isDue(first, after(300))).toBe(false)
  expect(isDue(first, after(310))).toBe(true)
  const second = await renewed(names, after(310), first)
  expect(second.authority.match(/BEGIN CERTIFICATE/g)).toHaveLength(2)
  expect(second.authority.endsWith(new X509Certificate(first.authority).toString())).toBe(true)
  const third = await renewed(names, after(620), second)
  expect(third.authority.match(/BEGIN CERTIFICATE/g)).toHaveLength(2)
  expect((await renewed(names, after(2000), third)).authority.match(/BEGIN CERTIFICATE/g)).toHaveLength(1)
})

const good = await renewed(names, now)
const other = await renewed(names, now)
test.each<[string, boolean, Certificate, Date]>([
  ['as issued', true, good, now],
  ['empty', false, { authority: '', chain: '', key: '' }, now],
  ['with the key of another', false, { ...good, key: other.key }, now],
  ['with the authority of another', false, { ...good, authority: other.authority }, now],
  ['expired', false, good, after(366)],
  ['for other names', false, await renewed(['x.y.svc'], now), now],
])('a certificate %s is usable: %s', (_, usable, certificate, at) => {
  expect(isUsable(certificate, names, at)).toBe(usable)
})
