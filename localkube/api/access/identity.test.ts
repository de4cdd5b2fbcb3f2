import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { loadIdentity, type ServerIdentity } from './identity.ts'

const names = ['127.0.0.1', 'kubernetes.default.svc']
const years = (count: number) => new Date(Date.now() + count * 365 * 86_400_000)
let dir = ''

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'localkube-identity-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

function expectGoodAt({ caPem, certificate }: ServerIdentity, now: Date): void {
  const authority = new X509Certificate(caPem)
  const server = new X509Certificate(certificate.cert)
  for (const { validFromDate, validToDate } of [authority, server]) {
    expect(validFromDate.getTime()).toBeLessThan(now.getTime())
    expect(validToDate.getTime()).toBeGreaterThan(now.getTime())
  }
  expect(server.verify(authority.publicKey)).toBe(true)
}

it('is the same server each time that it is started', async () => {
  const first = await loadIdentity(dir, names)
  const next = await loadIdentity(dir, names)
  expect(next.certificate.cert).toBe(first.certificate.cert)
  expect(next.signingKey.equals(first.signingKey)).toBe(true)
})

it('gives a server that answers under other names another certificate of the same authority', async () => {
  const first = await loadIdentity(dir, names)
  const next = await loadIdentity(dir, [...names, 'localhost'])
  expect(next.certificate.cert).not.toBe(first.certificate.cert)
  expect(next.caPem).toBe(first.caPem)
})

it.each([
  ['whose certificates expired while it was down', -11],
  ['whose certificates end within the year', -9.5],
  ['that first started with a clock that was years behind', -50],
  ['that first started with a clock that was years ahead', 5],
])('gives a server %s new ones, and its clients go on with their tokens', async (_, started) => {
  const first = await loadIdentity(dir, names, years(started))
  const now = new Date()
  const next = await loadIdentity(dir, names, now)
  expectGoodAt(next, now)
  expect(next.adminToken).toBe(first.adminToken)
  expect(next.signingKey.equals(first.signingKey)).toBe(true)
  expect((await loadIdentity(dir, names, now)).certificate.cert).toBe(next.certificate.cert)
})
