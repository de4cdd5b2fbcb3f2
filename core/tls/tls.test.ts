import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import type { Agent, IncomingMessage, RequestListener, Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { connect as connectTls } from 'node:tls'
import { pino } from 'pino'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { agentFor, httpServer, issueCertificates, type Leaf, requestTo, type Trust } from './index.ts'

const said: string[] = []
const log = pino({}, { write: (line: string) => void said.push(line) })
const day = 86_400_000
let count = 0
const issue = (names: string[], until = day) =>
  issueCertificates({
    authority: `authority ${++count} of a test`,
    leaves: { server: names },
    notBefore: new Date(Date.now() - 2 * day),
    notAfter: new Date(Date.now() + until),
  })

const good = await issue(['127.0.0.1', 'localhost'])
const next = await issue(['127.0.0.1'])
const home = mkdtempSync(join(tmpdir(), 'k8sclaw-tls-'))
let dir = ''
let servers: Server[] = []

beforeEach(() => {
  dir = mkdtempSync(join(home, 'served-'))
})
afterEach(() => {
  for (const server of servers) {
    server.closeAllConnections()
    server.close()
  }
  servers = []
})
afterAll(() => rmSync(home, { recursive: true }))

function put(folder: string, { chain, key }: Leaf): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'tls.crt'), chain)
  writeFileSync(join(folder, 'tls.key'), key)
}

/** A server that answers `hello`, and where it listens. */
async function serve(leaf?: Leaf): Promise<URL> {
  if (leaf) put(dir, leaf)
  const server = httpServer({ keepAliveTimeout: 60_000 }, leaf && { dir, log, rereadMs: 20 })
  return await listening(server, (_, response) => response.end('hello'), leaf ? 'https' : 'http')
}

/** Answers once the whole request is there. */
const wholeBody: RequestListener = (request, response) => request.on('end', () => response.end('hello')).resume()

async function listening(server: Server, answer: RequestListener, scheme = 'http'): Promise<URL> {
  server.on('request', answer)
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return new URL(`${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}/`)
}

async function ask(url: URL, trust: Trust, agent?: Agent): Promise<string> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    requestTo(url, trust, { agent: agent ?? false })
      .once('response', resolve)
      .once('error', reject)
      .end()
  })
  return await text(response)
}

describe('a client', () => {
  it('reaches a server of the authority that it was given, over TLS 1.3', async () => {
    const url = await serve(good.leaves.server)
    expect(await ask(url, { ca: good.authority })).toBe('hello')
    const socket = connectTls({ port: Number(url.port), host: '127.0.0.1', ca: good.authority, maxVersion: 'TLSv1.2' })
    await expect(
      new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject)),
    ).rejects.toThrow(/alert protocol version/)
  })

  it('believes any of several authorities, and reads their file again for each connection', async () => {
    const url = await serve(good.leaves.server)
    const caFile = join(home, 'ca.crt')
    await expect(ask(url, { caFile })).rejects.toMatchObject({ code: 'unavailable', message: /ca\.crt cannot be read/ })
    writeFileSync(caFile, next.authority)
    await expect(ask(url, { caFile })).rejects.toThrow(/certificate/)
    writeFileSync(caFile, next.authority + good.authority)
    expect(await ask(url, { caFile })).toBe('hello')
  })

  const stranger = issue(['k8sclaw-gateway.k8sclaw-system.svc'])
  const expired = issue(['127.0.0.1'], -day)
  it.each([
    ['of another authority', good, next.authority, /unable to verify|self-signed/],
    ['that the system does not know', good, undefined, /unable to verify|self-signed/],
    ['of its authority for another name', stranger, 'its own', /does not match/],
    ['that has expired', expired, 'its own', /expired/],
  ] as const)('refuses a certificate %s', async (_, issued, trusted, message) => {
    const { authority, leaves } = await issued
    const ca = trusted === 'its own' ? authority : trusted
    await expect(ask(await serve(leaves.server), ca === undefined ? {} : { ca })).rejects.toThrow(message)
  })

  it('gets an error, not silence, where one side speaks TLS and the other does not', async () => {
    const secure = await serve(good.leaves.server)
    await expect(ask(new URL(secure.href.replace('https', 'http')), {})).rejects.toThrow()
    const plain = await serve()
    await expect(ask(new URL(plain.href.replace('http', 'https')), { ca: good.authority })).rejects.toThrow(/SSL|TLS/i)
  })
})

describe('a server', () => {
  it.each([
    ['says nothing', ''],
    ['never ends its head', 'POST / HTTP/1.1\r\nHost: there\r\nX-'],
    ['announces a body that never comes', 'POST / HTTP/1.1\r\nHost: there\r\nContent-Length: 4000\r\n\r\n'],
  ])(
    'lets go of a client that %s, and answers others meanwhile',
    async (_, sent) => {
      const impatience = { headersTimeout: 100, requestTimeout: 200, connectionsCheckingInterval: 50 }
      const url = await listening(httpServer({ keepAliveTimeout: 60_000, ...impatience }), wholeBody)
      const slow = connect(Number(url.port), '127.0.0.1')
      slow.on('connect', () => slow.write(sent))
      const heard = text(slow)
      expect(await ask(url, {})).toBe('hello')
      expect(await heard).toMatch(/^HTTP\/1\.1 408 /)
    },
    60_000,
  )

  it('waits for no request as long as Node would', () => {
    const { headersTimeout, requestTimeout } = httpServer({})
    expect({ headersTimeout, requestTimeout }).toEqual({ headersTimeout: 20_000, requestTimeout: 60_000 })
  })

  it('says where the files are that it cannot serve with', async () => {
    const files = { dir, log }
    expect(() => httpServer({}, files)).toThrow(`tls.crt and tls.key cannot be read in ${dir}`)
    put(dir, { ...good.leaves.server, key: next.leaves.server.key })
    expect(() => httpServer({}, files)).toThrow(/cannot be served: .*key values mismatch/)
  })

  it('serves new connections with the files that a kubelet swapped in, and keeps those that stand', async () => {
    // As a mounted Secret: the files are links into a folder that one rename replaces.
    const version = (name: string, leaf: Leaf) => {
      put(join(dir, name), leaf)
      symlinkSync(name, join(dir, '..new'))
      renameSync(join(dir, '..new'), join(dir, '..data'))
    }
    version('..1', good.leaves.server)
    for (const name of ['tls.crt', 'tls.key']) symlinkSync(join('..data', name), join(dir, name))
    const url = await serve({ ...good.leaves.server })
    const agent = agentFor(url)
    let connections = 0
    servers[0]?.on('secureConnection', () => connections++)
    expect(await ask(url, { ca: good.authority }, agent)).toBe('hello')

    version('..2', next.leaves.server)
    await expect.poll(() => ask(url, { ca: next.authority }).catch(() => '')).toBe('hello')
    const before = connections
    expect(await ask(url, { ca: good.authority }, agent)).toBe('hello')
    expect(connections).toBe(before)
    agent.destroy()
  })

  it('keeps its certificate while the files hold nothing usable', async () => {
    const url = await serve(good.leaves.server)
    writeFileSync(join(dir, 'tls.crt'), next.leaves.server.chain)
    await expect.poll(() => said.filter((line) => line.includes('still serving')).length).toBe(1)
    expect(await ask(url, { ca: good.authority })).toBe('hello')
    writeFileSync(join(dir, 'tls.key'), next.leaves.server.key)
    await expect.poll(() => ask(url, { ca: next.authority }).catch(() => '')).toBe('hello')
  })

  it('lets go of a client that speaks something else', async () => {
    const url = await serve(good.leaves.server)
    const socket = connect(Number(url.port), '127.0.0.1')
    socket.on('error', () => {})
    socket.write('GET / HTTP/1.1\r\n\r\n')
    await new Promise((resolve) => socket.once('close', resolve))
  })
})
