import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterEach, describe, expect, it } from 'vitest'
import { ClawError, isClawError } from '#core/errors'
import { connectKube } from './load.ts'
import { createOrAdopt } from './names.ts'
import { configMaps, jobs, pods } from './resources.ts'

type Answer = { status?: number; body?: unknown; headers?: Record<string, string>; cut?: boolean }
let server: Server | undefined
afterEach(() => {
  server?.closeAllConnections()
  server?.close()
})

/** A server that answers each request by `answer` and keeps what it was asked. */
async function serve(answer: (asked: Asked) => Answer) {
  const asked: Asked[] = []
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const one = {
      method: request.method ?? '',
      url: request.url ?? '',
      headers: request.headers,
      body: await text(request),
    }
    asked.push(one)
    const { status = 200, body = {}, headers = {}, cut } = answer(one)
    if (cut) {
      response.writeHead(200, { 'Content-Length': 1000 }).write('{"half":')
      response.destroy()
      return
    }
    response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(body))
  }
  server = createServer((request, response) => void handle(request, response))
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`
  return { asked, kube: connectKube({ server: url, token: 'mine', namespace: 'here' }) }
}
interface Asked {
  method: string
  url: string
  headers: IncomingMessage['headers']
  body: string
}

const status = (code: number, reason: string, message: string, field?: string): Answer => ({
  status: code,
  body: { kind: 'Status', code, reason, message, details: field ? { causes: [{ field, message }] } : {} },
})

describe('Kube', () => {
  it.each(['', '.', '..'])('refuses the name %j, which would be the path of something else', async (name) => {
    const { asked, kube } = await serve(() => ({ body: { metadata: { name: 'x' } } }))
    for (const at of [{ name }, { name: 'x', namespace: name }])
      await expect(kube.delete(pods, at)).rejects.toMatchObject({ code: 'invalid' })
    await expect(kube.list(pods, { namespace: name })).rejects.toMatchObject({ code: 'invalid' })
    expect(asked).toEqual([])
  })

  it('addresses core and grouped kinds, subresources and the default namespace', async () => {
    const { asked, kube } = await serve(() => ({ body: { metadata: { name: 'x' } } }))
    await kube.get(pods, { name: 'a' })
    await kube.patch(jobs, { name: 'b', namespace: 'there' }, { status: {} }, 'status')
    await kube.patch(pods, { name: 'c' }, [{ op: 'remove', path: '/x' }])
    await kube.delete(jobs, { name: 'd' }, { uid: 'u' })
    expect(asked.map((a) => `${a.method} ${a.url}`)).toEqual([
      'GET /api/v1/namespaces/here/pods/a',
      'PATCH /apis/batch/v1/namespaces/there/jobs/b/status',
      'PATCH /api/v1/namespaces/here/pods/c',
      'DELETE /apis/batch/v1/namespaces/here/jobs/d',
    ])
    expect(asked[1]?.headers['content-type']).toBe('application/merge-patch+json')
    expect(asked[2]?.headers['content-type']).toBe('application/json-patch+json')
    expect(JSON.parse(asked[3]?.body ?? '')).toMatchObject({
      propagationPolicy: 'Background',
      preconditions: { uid: 'u' },
    })
  })

  it('acts as somebody else with their token alone', async () => {
    const { asked, kube } = await serve(() => ({ body: {} }))
    await kube.get(pods, { name: 'a' })
    await kube.withToken('theirs').get(pods, { name: 'a' })
    expect(asked.map((a) => a.headers.authorization)).toEqual(['Bearer mine', 'Bearer theirs'])
  })

  it('lists page by page and gives items the kind that lists leave out', async () => {
    const { asked, kube } = await serve(({ url }) => ({
      body: url.includes('continue=two')
        ? { items: [{ metadata: { name: 'b' } }], metadata: { resourceVersion: '7' } }
        : { items: [{ metadata: { name: 'a' } }], metadata: { resourceVersion: '7', continue: 'two' } },
    }))
    const list = await kube.list(jobs, { namespace: '*', labelSelector: 'a=b' })
    expect(list.items.map((i) => `${i.apiVersion} ${i.kind} ${i.metadata.name}`)).toEqual([
      'batch/v1 Job a',
      'batch/v1 Job b',
    ])
    expect(list.resourceVersion).toBe('7')
    expect(asked[0]?.url).toBe('/apis/batch/v1/jobs?labelSelector=a%3Db&limit=500')
  })

  it('asks for fewer objects where so many are too long for one answer, and for no more than that behind them', async () => {
    // Of 5 MB each: three fit.
    const all = Array.from({ length: 40 }, (_, at) => ({ metadata: { name: `${at}` }, x: 'x'.repeat(5_000_000) }))
    const { asked, kube } = await serve(({ url }) => {
      const query = new URL(url, 'http://x').searchParams
      const [at, limit] = [Number(query.get('continue') ?? 0), Number(query.get('limit'))]
      // More than fits is all that matters of more.
      const items = all.slice(at, at + Math.min(limit, 4))
      const more = at + limit < all.length ? { continue: `${at + limit}` } : {}
      return { body: { items, metadata: { resourceVersion: '7', ...more } } }
    })
    const names: string[] = []
    for await (const { items } of kube.pages(pods)) names.push(...items.map(({ metadata }) => metadata.name))
    expect(names).toEqual(all.map(({ metadata }) => metadata.name))
    const limits = asked.map(({ url }) => new URL(url, 'http://x').searchParams.get('limit'))
    expect(limits).toEqual(['500', '125', '32', '8', ...all.filter((_, at) => at % 2 === 0).map(() => '2')])
  })

  it('lets whoever reads wait before more is read, or refuse', async () => {
    const { kube } = await serve(() => ({ body: { metadata: { name: 'a' }, x: 'x'.repeat(5_000_000) } }))
    const { promise, resolve } = Promise.withResolvers<void>()
    let read = 0
    const got = kube
      .withToken('theirs', (bytes) => {
        read = bytes
        return bytes > 1_000_000 ? promise : undefined
      })
      .get(pods, { name: 'a' })
    await expect.poll(() => read, { timeout: 30_000 }).toBeGreaterThan(1_000_000)
    expect(read).toBeLessThan(5_000_000)
    resolve()
    expect((await got).metadata.name).toBe('a')
    const no = new ClawError('too_many', 'no')
    const refused = kube.withToken('theirs', () => {
      throw no
    })
    await expect(refused.get(pods, { name: 'a' })).rejects.toBe(no)
  })

  it('lists again without pages where a page token has expired', async () => {
    const { kube } = await serve(({ url }) => {
      if (url.includes('continue=')) return status(410, 'Expired', 'too old')
      const more = url.includes('limit=') ? { continue: 'two' } : {}
      return { body: { items: [{ metadata: { name: 'a' } }], metadata: { resourceVersion: '9', ...more } } }
    })
    expect((await kube.list(pods)).items).toHaveLength(1)
  })

  it.each([
    [status(404, 'NotFound', 'no'), 'not_found'],
    [status(409, 'Conflict', 'no'), 'conflict'],
    [status(409, 'AlreadyExists', 'no'), 'already_exists'],
    [status(403, 'Forbidden', 'no'), 'forbidden'],
    [status(401, 'Unauthorized', 'no'), 'unauthenticated'],
    [status(422, 'Invalid', 'spec.x: no', 'spec.x'), 'invalid'],
    [status(500, 'InternalError', 'storage away'), 'unavailable'],
    [status(500, 'InternalError', 'Internal error occurred: failed calling webhook "a.b": no route'), 'unjudged'],
    [status(503, 'ServiceUnavailable', 'admission webhook "a.b" denied the request: not now'), 'unjudged'],
    [status(503, 'ServiceUnavailable', 'not now'), 'unavailable'],
    [status(403, 'Forbidden', 'admission webhook "a.b" denied the request: no'), 'forbidden'],
    [{ status: 502, body: 'a proxy speaks' }, 'unavailable'],
    [{ cut: true }, 'unavailable'],
  ] as [Answer, string][])('turns %j into %s', async (answer, code) => {
    const { kube } = await serve(() => answer)
    const error: unknown = await kube.get(pods, { name: 'a' }).catch((e: unknown) => e)
    expect(isClawError(error) && error.code).toBe(code)
    if (code === 'invalid') expect(isClawError(error) && error.field).toBe('spec.x')
  })

  it('asks a busy server again when it says, and not where it does not', async () => {
    let busy = 2
    const { kube, asked } = await serve(() => {
      if (busy-- > 0) return { ...status(429, 'TooManyRequests', 'later'), headers: { 'Retry-After': '0' } }
      return { body: { metadata: { name: 'a' } } }
    })
    await expect(kube.get(pods, { name: 'a' })).resolves.toMatchObject({ metadata: { name: 'a' } })
    expect(asked).toHaveLength(3)
    const { kube: other } = await serve(() => status(429, 'TooManyRequests', 'later'))
    await expect(other.get(pods, { name: 'a' })).rejects.toMatchObject({ code: 'too_many' })
  })

  it('calls a server that is not there unavailable', async () => {
    const { kube } = await serve(() => ({}))
    server?.close()
    await expect(kube.get(pods, { name: 'a' })).rejects.toMatchObject({ code: 'unavailable', retryable: true })
  })

  it('believes a token review only for the audience it asked for', async () => {
    const { kube } = await serve(({ body }) => ({
      body: {
        status: {
          authenticated: true,
          audiences: (JSON.parse(body) as { spec: { audiences?: string[] } }).spec.audiences?.includes('k8sclaw')
            ? ['k8sclaw']
            : ['https://kubernetes'],
          user: { username: 'system:serviceaccount:ns:sa', uid: 'u', extra: { k: ['v'] } },
        },
      },
    }))
    expect(await kube.tokenReview('t', ['k8sclaw'])).toMatchObject({ authenticated: true, extra: { k: ['v'] } })
    expect(await kube.tokenReview('t', ['other'])).toMatchObject({ authenticated: false })
  })
})

describe('createOrAdopt', () => {
  const owner = { apiVersion: 'v1', kind: 'Owner', metadata: { name: 'o', uid: 'u1' } }
  const child = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c' } }
  const existing = (uid: string) => ({
    ...child,
    metadata: { name: 'c', ownerReferences: [{ apiVersion: 'v1', kind: 'Owner', name: 'o', uid, controller: true }] },
  })

  it('creates with the owner, adopts what it created before, and leaves what is not ours', async () => {
    let there: object | undefined
    const { asked, kube } = await serve(({ method, body }) => {
      if (method === 'GET') return { body: there }
      if (there) return status(409, 'AlreadyExists', 'there')
      return { status: 201, body: JSON.parse(body) as object }
    })
    expect(await createOrAdopt(kube, configMaps, child, owner)).toMatchObject({ created: true, object: existing('u1') })
    there = existing('u1')
    expect(await createOrAdopt(kube, configMaps, child, owner)).toMatchObject({ created: false })
    there = existing('u2')
    await expect(createOrAdopt(kube, configMaps, child, owner)).rejects.toMatchObject({ code: 'not_ours' })
    expect(asked.every((a) => a.method === 'GET' || a.method === 'POST')).toBe(true)
  })
})
