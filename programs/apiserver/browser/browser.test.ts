import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import fc from 'fast-check'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import type { Logger } from '#core/telemetry'
import { type Served, startServed } from '../testing/served.test-support.ts'
import { sealing } from './sealing.ts'

describe('a sealed token', () => {
  const later = new Date(2_000)
  const now = new Date(1_000)

  test('opens for who has the key, until its time is over, and not when a bit of it is changed', () => {
    const seal = sealing(undefined)
    fc.assert(
      fc.property(fc.string(), fc.nat(), (token, bit) => {
        const sealed = seal.seal(token, later)
        expect(seal.open(sealed, now)).toBe(token)
        expect(seal.open(sealed, later)).toBeUndefined()
        const bytes = Buffer.from(sealed, 'base64url')
        const place = bit % (bytes.length * 8)
        bytes[place >> 3] = (bytes[place >> 3] ?? 0) ^ (1 << (place & 7))
        expect(seal.open(bytes.toString('base64url'), now)).toBeUndefined()
      }),
    )
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(seal.open(text, now)).toBeUndefined()
      }),
    )
  })

  test('opens at every replica with the same certificate, and at no other', async () => {
    const folders = await Promise.all([1, 2].map(() => mkdtemp(join(tmpdir(), 'k8sclaw-key-'))))
    try {
      for (const [index, folder] of folders.entries()) await writeFile(join(folder, 'tls.key'), `key ${index}`)
      const [one, two] = folders
      const sealed = sealing(one).seal('token', later)
      expect(sealing(one).open(sealed, now)).toBe('token')
      expect(sealing(two).open(sealed, now)).toBeUndefined()
      expect(sealing(undefined).open(sealed, now)).toBeUndefined()
    } finally {
      await Promise.all(folders.map((folder) => rm(folder, { recursive: true })))
    }
  })
})

describe('a browser', () => {
  let served: Served
  let token: string
  let logged = ''

  beforeAll(async () => {
    const sink = new Writable({
      write(chunk, _, done) {
        logged += String(chunk)
        done()
      },
    })
    served = await startServed({ log: pino({ level: 'trace' }, sink) as unknown as Logger })
    token = await served.account('red', 'red', ['*'])
  })
  afterAll(() => served?.close())

  const ask = (path: string, headers: Record<string, string>, method = 'GET', body?: object) =>
    fetch(served.base + path, {
      method,
      headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    })
  const codeOf = async (response: Response) => [response.status, ((await response.json()) as { code: string }).code]
  const signIn = async () => {
    const response = await ask('/api/v1/session', { authorization: `Bearer ${token}` }, 'POST')
    expect(await response.json()).toMatchObject({ username: 'system:serviceaccount:red:red' })
    return response.headers.get('set-cookie') ?? ''
  }

  test('trades its token for a cookie that no script and no other site gets at', async () => {
    const cookie = await signIn()
    expect(cookie).toMatch(/^k8sclaw-session=[\w-]+; Path=\/; Max-Age=3600; HttpOnly; SameSite=Strict$/)
    expect(cookie).not.toContain(token)
    const session = { cookie: `theme=dark; ${cookie.split(';', 1)[0]}` }
    expect((await ask('/api/v1/namespaces/red/instances/bot', session)).status).toBe(200)
    expect((await ask('/api/v1/namespaces/blue/instances/bot', session)).status).toBe(403)
    expect(await codeOf(await ask('/api/v1/session', session, 'POST'))).toEqual([403, 'forbidden'])
    const own = { ...session, origin: served.base }
    expect(await codeOf(await ask('/api/v1/session', own, 'POST'))).toEqual([401, 'unauthenticated'])
  })

  test('writes with it from pages of this server alone', async () => {
    const session = { cookie: (await signIn()).split(';', 1)[0] ?? '' }
    const path = '/api/v1/namespaces/red/runs'
    const body = { instance: 'bot', task: 'x' }
    for (const origin of [undefined, 'null', 'https://evil.example', `${served.base}.evil.example`]) {
      const headers = { ...session, ...(origin !== undefined && { origin }) }
      expect([origin, ...(await codeOf(await ask(path, headers, 'POST', body)))]).toEqual([origin, 403, 'forbidden'])
    }
    expect((await ask(path, { ...session, origin: served.base }, 'POST', body)).status).toBe(201)
    const bearer = { authorization: `Bearer ${token}`, origin: 'https://evil.example' }
    expect((await ask(path, bearer, 'POST', body)).status).toBe(201)
  })

  test('opens WebSockets with it, from pages of this server alone', async () => {
    const cookie = (await signIn()).split(';', 1)[0] ?? ''
    const open = (origin?: string) =>
      new Promise<number>((resolve, reject) => {
        const url = `${served.base.replace('http', 'ws')}/api/v1/namespaces/red/runs/none/stream`
        const socket = new WebSocket(url, { headers: { cookie }, ...(origin !== undefined && { origin }) })
        socket.on('unexpected-response', (_, response) => {
          response.resume()
          resolve(response.statusCode ?? 0)
        })
        socket.on('error', reject)
      })
    expect([await open(), await open('https://evil.example'), await open(served.base)]).toEqual([403, 403, 404])
  })

  test('is nobody with a cookie that is none, or is over', async () => {
    for (const cookie of ['k8sclaw-session=', 'k8sclaw-session=AAAA', `k8sclaw-session=${'A'.repeat(400)}`]) {
      const answer = await ask('/api/v1/namespaces/red/runs', { cookie })
      expect(await codeOf(answer)).toEqual([401, 'unauthenticated'])
    }
    const ended = await ask('/api/v1/session', { cookie: await signIn(), origin: served.base }, 'DELETE')
    expect([ended.status, ended.headers.get('set-cookie')]).toEqual([204, expect.stringContaining('Max-Age=0')])
    expect((await ask('/api/v1/session', {}, 'DELETE')).status).toBe(204)
    const foreign = { cookie: 'a=b', origin: 'https://evil.example' }
    expect(await codeOf(await ask('/api/v1/session', foreign, 'DELETE'))).toEqual([403, 'forbidden'])
  })

  test('is told nothing that a page of another origin could read', async () => {
    const headers = { origin: 'https://evil.example', 'access-control-request-method': 'GET' }
    for (const method of ['GET', 'OPTIONS']) {
      const answer = await ask('/api/v1/namespaces/red/runs', headers, method)
      const cors = [...answer.headers.keys()].filter((name) => name.startsWith('access-control'))
      expect([method, answer.status, cors]).toEqual([method, 401, []])
    }
  })

  test('and its token appear in no log, and no token is taken from a URL', async () => {
    const cookie = (await signIn()).split(';', 1)[0] ?? ''
    for (const name of ['access_token', 'token', 'authorization']) {
      const path = `/api/v1/namespaces/red/runs?${name}=${token}`
      expect((await ask(path, {})).status).toBe(401)
      expect((await ask(path, { cookie })).status).toBe(422)
    }
    await ask('/api/v1/namespaces/red/runs/none/events', { authorization: `Bearer ${token}` })
    expect(logged).toContain('request refused')
    expect(logged).not.toContain(token)
    expect(logged).not.toContain(token.split('.')[2])
    expect(logged).not.toContain(cookie.split('=')[1])
  })
})
