import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, it } from 'vitest'
import { lookupProvider } from './reach.ts'
import { Upstreams } from './upstream.ts'

const post = async (url: string) => {
  const upstreams = new Upstreams()
  try {
    return await upstreams.post({ url: new URL(url), headers: {}, body: '{}', signal: AbortSignal.timeout(5_000) })
  } finally {
    upstreams.close()
  }
}

describe('a baseURL', () => {
  it.each([
    'http://169.254.169.254/latest',
    'http://2852039166/',
    'http://0xa9.0xfe.0xa9.0xfe/',
    'http://[::ffff:169.254.169.254]/',
    'https://[fe80::1]/',
    'http://[fd00:ec2::254]/',
    'http://[64:ff9b::169.254.169.254]/',
    'http://0.0.0.0/',
    'http://[::]/',
    'http://100.100.100.200/',
    'http://255.255.255.255/',
  ])('that leads to %s is refused before anything is sent', async (url) => {
    await expect(post(url)).rejects.toMatchObject({ code: 'forbidden' })
  })

  it('may name this machine, by address or by name, where models of one’s own are', async () => {
    const server = createServer((_, response) => response.end('{}'))
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const { port } = server.address() as AddressInfo
    for (const host of ['127.0.0.1', 'localhost']) {
      const { status, body } = await post(`http://${host}:${port}/v1`)
      expect(status).toBe(200)
      for await (const _ of body);
    }
    await new Promise((done) => server.close(done))
  })
})

describe('a name is judged by the address that is connected to', () => {
  const found = (name: string, all: boolean) =>
    new Promise((resolve, reject) =>
      lookupProvider(name, { all }, (error, address, family) =>
        error ? reject(error) : resolve(all ? address : [address, family]),
      ),
    )

  it.each([true, false])('and refused where it has no other (all: %s)', async (all) => {
    await expect(found('169.254.169.254', all)).rejects.toMatchObject({ code: 'forbidden' })
    const loopback = { address: '127.0.0.1', family: 4 }
    expect(await found('127.0.0.1', all)).toEqual(all ? [loopback] : [loopback.address, loopback.family])
  })
})
