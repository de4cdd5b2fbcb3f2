import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, get } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  blocksOf,
  type Certificate,
  covers,
  isDue,
  isSignedBy,
  issueCertificate,
  isUsable,
  namesOf,
} from './certificate.ts'

const names = ['k8sclaw-webhook.k8sclaw-system.svc', 'k8sclaw-webhook.k8sclaw-system.svc.cluster.local']
const now = new Date('2026-05-01T12:00:00Z')
const later = (days: number) => new Date(now.getTime() + days * 86_400_000)

test('openssl finds the chain good, strictly, and for each of the names', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'k8sclaw-cert-'))
  try {
    const { authority, chain } = await issueCertificate(names, new Date())
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
  const { authority, chain, key } = await issueCertificate(names, new Date())
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
    const stranger = await issueCertificate(names, new Date())
    await expect(reach(names[0] ?? '', stranger.authority)).rejects.toThrow()
  } finally {
    server.close()
  }
})

test('is replaced well before it expires', async () => {
  const certificate = await issueCertificate(names, now)
  expect(isDue(certificate, later(300))).toBe(false)
  expect(isDue(certificate, later(310))).toBe(true)
})

test('is for exactly the names and addresses that it was issued for', async () => {
  const addresses = ['127.0.0.1', 'fd00::7', 'localhost']
  const certificate = await issueCertificate(addresses, now)
  expect(covers(certificate, addresses)).toBe(true)
  expect(covers(certificate, ['127.0.0.1'])).toBe(true)
  expect(covers(certificate, ['127.0.0.2'])).toBe(false)
  expect(covers(certificate, names)).toBe(false)
  expect(covers(certificate, namesOf(certificate))).toBe(true)
  expect(namesOf(await issueCertificate(names, now))).toEqual(names)
})

const good = await issueCertificate(names, now)
const other = await issueCertificate(names, now)

test('is trusted by a bundle that holds its authority among others', () => {
  expect(isSignedBy(good.chain, other.authority + good.authority)).toBe(true)
  expect(isSignedBy(good.chain, other.authority)).toBe(false)
  expect(isSignedBy(good.chain, '')).toBe(false)
  expect(blocksOf(other.authority + good.authority)).toEqual([other.authority, good.authority])
})

test.each<[string, boolean, Certificate, Date]>([
  ['as issued', true, good, now],
  ['empty', false, { authority: '', chain: '', key: '' }, now],
  ['with the key of another', false, { ...good, key: other.key }, now],
  ['with the authority of another', false, { ...good, authority: other.authority }, now],
  ['expired', false, good, later(366)],
  ['of another time', false, good, later(-2)],
])('a certificate %s is usable: %s', (_, usable, certificate, at) => {
  expect(isUsable(certificate, at)).toBe(usable)
})
