import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { KubeObject } from '#core/kinds'
import { Informer } from './informer.ts'
import { connectKube } from './load.ts'
import { pods } from './resources.ts'

/**
 * An API server reduced to one collection and made to misbehave: it lists what is in `objects`, keeps every watch open
 * for the test to write into, and fails requests by `fail`.
 */
class Collection {
  objects = new Map<string, KubeObject>()
  version = 10
  lists = 0
  watches: { from: string; response: ServerResponse }[] = []
  fail: (isWatch: boolean) => number | undefined = () => undefined
  readonly #server: Server

  constructor() {
    this.#server = createServer((request, response) => {
      const query = new URL(request.url ?? '/', 'http://x').searchParams
      const isWatch = query.get('watch') === 'true'
      const failure = this.fail(isWatch)
      if (failure === 0) response.destroy()
      else if (failure)
        response.writeHead(failure).end(JSON.stringify({ kind: 'Status', code: failure, message: 'no' }))
      else if (isWatch) {
        response.writeHead(200).flushHeaders()
        this.watches.push({ from: query.get('resourceVersion') ?? '', response })
      } else this.#list(query, response)
    })
  }

  /** Pages of one, so that paging is always in play. */
  #list(query: URLSearchParams, response: ServerResponse) {
    const all = [...this.objects.values()]
    const at = Number(query.get('continue') ?? 0)
    if (at === 0) this.lists++
    const more = at + 1 < all.length ? { continue: String(at + 1) } : {}
    response.end(
      JSON.stringify({ items: all.slice(at, at + 1), metadata: { resourceVersion: `${this.version}`, ...more } }),
    )
  }

  async listen() {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return connectKube({ server: `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}` })
  }

  set(name: string, uid = name): KubeObject {
    this.version++
    const metadata = { name, namespace: 'default', uid, resourceVersion: `${this.version}`, labels: { of: uid } }
    const object = { apiVersion: 'v1', kind: 'Pod', metadata }
    this.objects.set(name, object)
    return object
  }

  remove(name: string) {
    this.version++
    this.objects.delete(name)
  }

  get last() {
    const watch = this.watches.at(-1)
    if (!watch) throw new Error('nobody watches')
    return watch
  }

  send(type: string, object: object) {
    this.last.response.write(`${JSON.stringify({ type, object })}\n`)
  }

  close() {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}

const open: (() => void)[] = []
afterEach(() => {
  for (const close of open.splice(0)) close()
})

async function start(prepare: (collection: Collection) => void = () => {}, idleMs = 60_000) {
  const collection = new Collection()
  prepare(collection)
  const kube = await collection.listen()
  const stop = new AbortController()
  const seen: string[] = []
  const errors: unknown[] = []
  const informer = new Informer(kube, pods, {
    backoff: { baseMs: 1, maxMs: 5 },
    idleMs,
    onError: (error) => errors.push(error),
    indexers: { of: (o) => [o.metadata.labels?.of ?? ''] },
  })
  informer.on({
    add: (o) => seen.push(`add ${o.metadata.name}/${o.metadata.uid}`),
    update: (o) => seen.push(`update ${o.metadata.name}/${o.metadata.uid}`),
    delete: (o) => seen.push(`delete ${o.metadata.name}/${o.metadata.uid}`),
  })
  const running = informer.run(stop.signal)
  open.push(() => {
    stop.abort()
    collection.close()
    kube.close()
  })
  const watching = async (count: number) => {
    await vi.waitFor(() => expect(collection.watches.length).toBeGreaterThanOrEqual(count), 5000)
  }
  return { collection, informer, seen, errors, stop, running, watching }
}

describe('Informer', () => {
  it('lists all pages, then follows from there', async () => {
    const { collection, informer, seen, watching } = await start((c) => {
      c.set('a')
      c.set('b')
      c.set('c')
    })
    await informer.synced()
    expect(informer.list().map((o) => o.metadata.name)).toEqual(['a', 'b', 'c'])
    await watching(1)
    expect(collection.last.from).toBe('13')
    collection.send('MODIFIED', collection.set('a'))
    collection.send('DELETED', collection.objects.get('b') ?? {})
    await vi.waitFor(() => expect(seen.slice(3)).toEqual(['update a/a', 'delete b/b']))
    expect(informer.byIndex('of', 'a')).toHaveLength(1)
    expect(informer.byIndex('of', 'b')).toHaveLength(0)
  })

  it('resumes at the last bookmark when the connection is cut in the middle of a line', async () => {
    const { collection, seen, watching } = await start()
    await watching(1)
    collection.send('BOOKMARK', { kind: 'Pod', metadata: { resourceVersion: '500' } })
    collection.send('ADDED', { ...collection.set('a'), metadata: { name: 'a', resourceVersion: '501', uid: 'a' } })
    collection.last.response.write('{"type":"ADDED","object":{"metadata":{"na')
    await vi.waitFor(() => expect(seen).toEqual(['add a/a']))
    collection.last.response.destroy()
    await watching(2)
    expect(collection.last.from).toBe('501')
    expect(collection.lists).toBe(1)
  })

  it('lists afresh after 410 and tells of what was deleted, replaced and changed meanwhile', async () => {
    const { collection, seen, watching } = await start((c) => {
      for (const name of ['gone', 'replaced', 'changed', 'same']) c.set(name)
    })
    await watching(1)
    collection.remove('gone')
    collection.set('replaced', 'successor')
    collection.set('changed')
    collection.send('ERROR', { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' })
    await watching(2)
    expect(seen.slice(4)).toEqual([
      'delete gone/gone',
      'delete replaced/replaced',
      'add replaced/successor',
      'update changed/changed',
    ])
  })

  it.each([0, 403, 410, 429, 500])('survives failures by %i of lists and watches', async (failure) => {
    let failures = 6
    const { collection, informer, watching, errors } = await start((c) => {
      c.set('a')
      c.fail = () => (failures-- > 0 ? failure : undefined)
    })
    await informer.synced()
    await watching(1)
    failures = 6
    collection.last.response.destroy()
    await watching(2)
    collection.send('ADDED', collection.set('b'))
    await vi.waitFor(() => expect(informer.list()).toHaveLength(2))
    expect(errors.length).toBeGreaterThan(6)
  })

  it('survives a line that is not JSON', async () => {
    const { collection, informer, watching } = await start()
    await watching(1)
    collection.last.response.write('not json\n')
    await watching(2)
    collection.send('ADDED', collection.set('a'))
    await vi.waitFor(() => expect(informer.list()).toHaveLength(1))
  })

  it('leaves a connection that says nothing any more', async () => {
    const { watching } = await start(() => {}, 20)
    await watching(3)
  })

  it('keeps going when a handler throws', async () => {
    const { collection, informer, watching, errors, seen } = await start()
    informer.on({
      add: () => {
        throw new Error('handler')
      },
    })
    await watching(1)
    collection.send('ADDED', collection.set('a'))
    collection.send('ADDED', collection.set('b'))
    await vi.waitFor(() => expect(seen).toHaveLength(2))
    expect(errors).toHaveLength(2)
  })

  it('ends when its signal aborts', async () => {
    const { running, stop, watching } = await start()
    await watching(1)
    stop.abort()
    await running
  })
})
