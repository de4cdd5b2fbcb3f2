import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { KubeObject } from '../types.ts'
import { type Change, Store } from './index.ts'

let folder: string
let open: Store[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'localkube-store-'))
})
afterEach(() => {
  for (const store of open) store.close()
  open = []
  rmSync(folder, { recursive: true })
})

function start(changes = 1000, name = 'state.db'): Store {
  const store = new Store({ file: join(folder, name), history: { changes, bytes: 1_000_000 } })
  open.push(store)
  return store
}
function stop(store: Store): void {
  store.close()
  open = open.filter((one) => one !== store)
}

const key = (name: string, namespace = 'n', resource = 'things') => ({ resource, namespace, name })
const thing = (name: string, value: unknown = 1): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Thing',
  metadata: { name, uid: name, resourceVersion: '', creationTimestamp: '' },
  value,
})
const put = (store: Store, name: string, value: unknown = 1) =>
  store.write((tx) => tx.put(key(name), thing(name, value)))

describe('the store', () => {
  test('numbers changes without gaps and stamps each object with its own', async () => {
    const store = start()
    const entries = await Promise.all(['a', 'b', 'c'].map((name) => put(store, name)))
    expect(entries.map(({ revision }) => revision)).toEqual([1, 2, 3])
    expect(entries[2]?.object.metadata.resourceVersion).toBe('3')
    expect(store.list('things').map(({ name }) => name)).toEqual(['a', 'b', 'c'])
  })

  test('a write that throws costs the others nothing', async () => {
    const store = start()
    const bad = store.write(() => {
      throw new Error('no')
    })
    const good = put(store, 'a')
    await expect(bad).rejects.toThrow('no')
    expect((await good).revision).toBe(1)
  })

  test('a write sees those before it, on disk or not', async () => {
    const store = start()
    void put(store, 'a', 1)
    const seen = await store.write((tx) => tx.get(key('a'))?.object.value)
    expect(seen).toBe(1)
  })

  test('listeners hear of changes in order, and before the writer does', async () => {
    const store = start()
    const heard: string[] = []
    store.subscribe(({ type, entry }) => heard.push(`${type} ${entry.name}`))
    await put(store, 'a')
    heard.push('written')
    await put(store, 'a', 2)
    await store.write((tx) => tx.remove(key('a')))
    expect(heard).toEqual(['ADDED a', 'written', 'MODIFIED a', 'DELETED a'])
  })

  test('finds objects, past and numbering again after a restart', async () => {
    const first = start()
    await put(first, 'a', 1)
    await put(first, 'a', 2)
    await put(first, 'b')
    await first.write((tx) => tx.remove(key('b')))
    stop(first)
    const second = start()
    expect(second.revision).toBe(4)
    expect(second.get(key('a'))?.object.value).toBe(2)
    expect(second.get(key('b'))).toBeUndefined()
    const past = second.since(1)?.map(({ type, entry, previous }) => [type, entry.name, previous?.revision])
    expect(past).toEqual([
      ['MODIFIED', 'a', 1],
      ['ADDED', 'b', undefined],
      ['DELETED', 'b', 3],
    ])
    expect((await put(second, 'c')).revision).toBe(5)
  })

  test('forgets old changes, never current objects', async () => {
    const first = start(5)
    await put(first, 'kept')
    for (let i = 0; i < 20; i++) await put(first, 'busy', i)
    expect(first.since(0)).toBeUndefined()
    expect(first.since(16)).toHaveLength(5)
    stop(first)
    const second = start(5)
    expect(second.since(10)).toBeUndefined()
    expect(second.since(16)).toHaveLength(5)
    expect(second.get(key('kept'))?.revision).toBe(1)
    expect(second.get(key('busy'))?.object.value).toBe(19)
  })

  test('is one at a time on a file', () => {
    start()
    expect(() => new Store({ file: join(folder, 'state.db') })).toThrow(/locked/)
  })

  test('a write that throws half-way leaves nothing behind', async () => {
    const store = start()
    const half = store.write((tx) => {
      tx.put(key('a'), thing('a'))
      throw new Error('no')
    })
    const whole = put(store, 'b')
    await expect(half).rejects.toThrow('no')
    expect((await whole).revision).toBe(1)
    expect(store.list('things').map(({ name }) => name)).toEqual(['b'])
  })

  test('takes a batch back from memory when the disk refuses it', async () => {
    const store = start()
    const heard: string[] = []
    await put(store, 'a', 1)
    store.subscribe(({ entry }) => heard.push(entry.name))
    // The column is NOT NULL and cannot hold this.
    const unstorable = { ...key('b'), namespace: undefined as unknown as string }
    const together = [put(store, 'a', 2), store.write((tx) => tx.put(unstorable, thing('b')))]
    for (const outcome of await Promise.allSettled(together)) expect(outcome.status).toBe('rejected')
    expect(store.get(key('a'))?.object.value).toBe(1)
    expect(heard).toEqual([])
    expect((await put(store, 'c')).revision).toBe(2)
  })

  test('any history replays to the same state and the same events', async () => {
    const step = fc.record({ name: fc.constantFrom('a', 'b', 'c'), value: fc.option(fc.nat(9)) })
    let run = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.integer({ min: 1, max: 20 }), async (steps, limit) => {
        run++
        const store = start(limit, `${run}.db`)
        const heard: Change[] = []
        store.subscribe((change) => heard.push(change))
        for (const { name, value } of steps) {
          await store.write((tx) => {
            if (value !== null) tx.put(key(name), thing(name, value))
            else if (tx.get(key(name))) tx.remove(key(name))
          })
        }
        const state = (one: Store) => one.list('things').map(({ json }) => json)
        const before = state(store)
        stop(store)
        const again = start(limit, `${run}.db`)
        expect(state(again)).toEqual(before)
        expect(again.revision).toBe(heard.length)
        const since = Math.max(0, heard.length - limit)
        const text = ({ type, entry }: Change) => `${type} ${entry.json}`
        expect(again.since(since)?.map(text)).toEqual(heard.slice(since).map(text))
        stop(again)
      }),
      { numRuns: 30 },
    )
  })
})
