import { createPrivateKey, X509Certificate } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Kube, type Secret, secrets } from '#core/kube'
import { createLogger } from '#core/telemetry'
import { startCluster, type TestCluster } from '../../test/support/cluster.ts'
import { mintBusSecret, mintDatabaseSecret, mintTlsSecret } from './mint-keys.ts'

const namespace = 'k8sclaw-system'
const log = createLogger('test')
log.level = 'silent'
let cluster: TestCluster
let minter: Kube

beforeAll(async () => {
  cluster = await startCluster()
  minter = await cluster.as(namespace, 'k8sclaw-keys')
})
afterAll(() => cluster.close())

async function held(name: string): Promise<Record<string, string>> {
  const { data = {} } = await cluster.admin.get<Secret>(secrets, { name, namespace })
  return Object.fromEntries(Object.entries(data).map(([key, text]) => [key, Buffer.from(text, 'base64').toString()]))
}

describe('minting, with the right to create Secrets and no other', () => {
  it('makes the keys of the bus, and leaves them as they are when it runs again', async () => {
    await mintBusSecret(minter, namespace, log)
    const first = await held('k8sclaw-bus')
    expect(Object.keys(first)).toContain('signing.seed')
    await mintBusSecret(minter, namespace, log)
    expect(await held('k8sclaw-bus')).toEqual(first)
  })

  it('makes a certificate of each server under its Service names, by one authority whose key nobody has', async () => {
    await mintTlsSecret(minter, namespace, log)
    const { 'ca.crt': authority = '', ...pairs } = await held('k8sclaw-tls')
    expect(Object.keys(pairs).toSorted()).toEqual(
      ['apiserver', 'database', 'gateway', 'identity', 'nats'].flatMap((name) => [`${name}.crt`, `${name}.key`]),
    )
    const ca = new X509Certificate(authority)
    for (const name of ['apiserver', 'database', 'gateway', 'identity', 'nats']) {
      const leaf = new X509Certificate(pairs[`${name}.crt`] ?? '')
      expect(leaf.verify(ca.publicKey)).toBe(true)
      expect(leaf.checkPrivateKey(createPrivateKey(pairs[`${name}.key`] ?? ''))).toBe(true)
      for (const suffix of ['', `.${namespace}`, `.${namespace}.svc`, `.${namespace}.svc.cluster.local`]) {
        expect(leaf.checkHost(`k8sclaw-${name}${suffix}`)).toBe(`k8sclaw-${name}${suffix}`)
      }
      expect(leaf.checkHost('k8sclaw-webhook.k8sclaw-system.svc')).toBeUndefined()
      expect(leaf.ca).toBe(false)
    }
  })

  it('leaves certificates that are there, whoever made them', async () => {
    const first = await held('k8sclaw-tls')
    await mintTlsSecret(minter, namespace, log)
    expect(await held('k8sclaw-tls')).toEqual(first)
  })

  it('makes a password of the database once, with the URL that asks for a certificate of it', async () => {
    await mintDatabaseSecret(minter, namespace, log)
    const first = await held('k8sclaw-database')
    const url = new URL(first.url ?? '')
    expect([url.password, url.hostname]).toEqual([first.password, `k8sclaw-database.${namespace}.svc`])
    expect(first.password?.length).toBe(32)
    expect(url.searchParams.get('sslmode')).toBe('verify-full')
    await mintDatabaseSecret(minter, namespace, log)
    expect(await held('k8sclaw-database')).toEqual(first)
  })
})
