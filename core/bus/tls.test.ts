import { copyFileSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { signBusUser } from '#core/identity'
import { createLogger } from '#core/telemetry'
import { httpServer, type Trust } from '#core/tls'
import { startNats, type TestNats } from '../../test/support/nats.ts'
import { type TestCertificate, testCertificate } from '../../test/support/tls.ts'
import { type Bus, connectBus, ensureStreams, tradeIdentity } from './index.ts'

const log = createLogger('test')
log.level = 'silent'
let own: TestCertificate
let other: TestCertificate
let nats: TestNats

beforeAll(async () => {
  own = await testCertificate(['127.0.0.1'])
  other = await testCertificate(['127.0.0.1'])
  nats = await startNats(undefined, own)
})
afterAll(async () => {
  await nats.close()
  own.close()
  other.close()
})

/** What comes first: a connection, or what the log says is in its way. */
async function connecting(url: string, trust?: Trust): Promise<Bus | string> {
  const stop = new AbortController()
  const said = Promise.withResolvers<string>()
  const connection = connectBus({
    url,
    ...(trust && { trust }),
    credentials: async () => nats.credentials({ kind: 'controller' }),
    name: 'test',
    signal: stop.signal,
    log: Object.assign(Object.create(log) as typeof log, {
      warn: (fields: { error: string }) => said.resolve(fields.error),
    }),
  })
  connection.catch(() => {})
  const first = await Promise.race([connection, said.promise])
  if (typeof first === 'string') stop.abort()
  return first
}

describe('the bus over TLS', () => {
  it('is believed by whoever has its authority, as a file or in hand, and works', async () => {
    for (const trust of [{ caFile: own.caFile }, { ca: own.ca }, { ca: other.ca + own.ca }]) {
      const bus = await connecting(nats.url, trust)
      if (typeof bus === 'string') throw new Error(bus)
      await ensureStreams(bus)
      await bus.close()
    }
  })

  it('is refused by whoever has another authority or none', async () => {
    expect(await connecting(nats.url, { ca: other.ca })).toMatch(/unable to verify|self-signed/)
    expect(await connecting(nats.url)).toMatch(/unable to verify|self-signed/)
  })

  it('is refused under a name that its certificate has not, even one that means the same machine', async () => {
    expect(await connecting(nats.url.replace('127.0.0.1', 'localhost'), { ca: own.ca })).toMatch(/does not match/)
  })

  it('is refused once its certificate has expired, or for localhost where an address was meant', async () => {
    const expired = await testCertificate(['127.0.0.1'], new Date(Date.now() - 60_000))
    const local = await testCertificate(['localhost'])
    for (const [certificate, why] of [
      [expired, /expired/],
      [local, /does not match/],
    ] as const) {
      const server = await startNats(nats.keys, certificate)
      expect(await connecting(server.url, { ca: certificate.ca })).toMatch(why)
      await server.close()
      certificate.close()
    }
  })

  it('is refused as tls:// where the server does not speak it: a password never goes out in the open', async () => {
    const plain = await startNats(nats.keys)
    expect(await connecting(plain.url.replace('nats:', 'tls:'), { ca: own.ca })).toMatch(/does not support 'tls'/)
    await plain.close()
  })

  it('is believed after it came back under another authority, once the file names that one too', async () => {
    const moved = await testCertificate(['127.0.0.1'])
    const server = await startNats(nats.keys, moved)
    const bus = await connecting(server.url, { caFile: moved.caFile })
    if (typeof bus === 'string') throw new Error(bus)
    for (const name of ['tls.crt', 'tls.key']) copyFileSync(join(other.dir, name), join(moved.dir, name))
    writeFileSync(moved.caFile, moved.ca + other.ca)
    await server.restart()
    await expect.poll(() => bus.connected).toBe(false)
    await expect.poll(() => bus.connected, { timeout: 10_000 }).toBe(true)
    await bus.close()
    await server.close()
    moved.close()
  })
})

describe('trading an identity over TLS', () => {
  it('is done with whom one believes, and with nobody else', async () => {
    const endpoint = httpServer({}, { dir: own.dir, log })
    endpoint.on('request', (incoming, response) => {
      let text = ''
      incoming.on('data', (chunk) => {
        text += String(chunk)
      })
      incoming.on('end', () => {
        const { userPublicKey } = JSON.parse(text) as { userPublicKey: string }
        const expiresAt = new Date(Date.now() + 60_000)
        const identity = { kind: 'gateway' } as const
        const busJwt = signBusUser({ keys: nats.keys, userPublicKey, name: 'test', identity, expiresAt })
        response.end(JSON.stringify({ busJwt, expiresAt: expiresAt.toISOString() }))
      })
    })
    await new Promise<void>((resolve) => endpoint.listen(0, '127.0.0.1', resolve))
    const tokenFile = join(own.dir, 'token')
    writeFileSync(tokenFile, 'projected')
    const url = `https://127.0.0.1:${(endpoint.address() as AddressInfo).port}`
    const trade = (trust?: Trust) => tradeIdentity({ url, tokenFile, ...(trust && { trust }) }).current()
    expect(await trade({ caFile: own.caFile })).toMatchObject({ runToken: undefined })
    for (const trust of [{ ca: other.ca }, undefined]) {
      await expect(trade(trust)).rejects.toMatchObject({ code: 'unavailable', retryable: true })
    }
    endpoint.close()
  })
})
