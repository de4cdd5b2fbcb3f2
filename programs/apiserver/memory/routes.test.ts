import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chooseSpace, migrate, openStore, prepareVectors, type Store, storeMemory } from '#core/store'
import { createLogger } from '#core/telemetry'
import { databases, type TestDatabase } from '../../../test/support/database.ts'
import { type Served, startServed } from '../testing/served.test-support.ts'

const log = createLogger('test')
log.level = 'silent'
const space = { model: 'test', dimensions: 2 }
const start = Date.parse('2026-03-01T12:00:00Z')

let served: Served
let database: TestDatabase
let store: Store | undefined
/** May do all in `red`; may look at lists there; may delete one there, but no more; may do all in `blue`. */
let red: string
let weak: string
let tidy: string
let blue: string
/** Of whatever is searched for; undefined where it is not to be had. */
let meant: number[] | undefined
/** How often a meaning was asked for. */
let asked = 0

beforeAll(async () => {
  const [first] = databases
  if (!first) throw new Error('there is no database')
  const meaning = async () => {
    asked++
    return meant && { ...space, values: meant }
  }
  ;[served, database] = await Promise.all([startServed({ store: () => store, meaning }), first.start()])
  red = await served.account('red', 'red', ['*'])
  weak = await served.account('red', 'weak', ['list'])
  tidy = await served.account('red', 'tidy', ['delete'])
  blue = await served.account('blue', 'blue', ['*'])
}, 120_000)
afterAll(async () => {
  await store?.close()
  await Promise.all([served?.close(), database?.close()])
})

interface Item {
  id: string
  content: string
}

async function call(
  path: string,
  { token = red, method = 'GET', body }: { token?: string; method?: string; body?: object } = {},
) {
  const response = await fetch(new URL(path, `${served.base}/api/v1/namespaces/`), {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return {
    status: response.status,
    json: (text ? JSON.parse(text) : {}) as Record<string, unknown> & { items: Item[] },
  }
}

let calls = 0
async function keep(content: string, scope: 'user' | 'instance', owner: string, namespace = 'red', values?: number[]) {
  if (!store) throw new Error('there is no store')
  const at = new Date(start + ++calls * 1000)
  const { id } = await storeMemory(
    store,
    { namespace, instance: 'bot', owners: { [scope]: owner } },
    {
      ...{ scope, content, run: 'run', attempt: 1, call: `c${calls}`, at, expiresAt: undefined },
      vector: values && { ...space, values },
    },
  )
  return id
}
const contents = async (path: string, token?: string) =>
  (await call(path, token === undefined ? {} : { token })).json.items.map(({ content }) => content)

describe('memories', () => {
  test('wait for the database, and say so', async () => {
    expect((await call('red/memories')).json).toMatchObject({ status: 503, code: 'unavailable' })
    store = openStore({ url: database.url, log })
    await migrate(store)
    expect(await prepareVectors(store, space)).toBe(true)
    expect(await call('red/memories')).toEqual({ status: 200, json: { items: [] } })
  })

  test('are listed in pages to who may list them, and one is shown with where it came from', async () => {
    const id = await keep('Ann prefers tea', 'user', 'ann', 'red', [1, 0])
    await keep('Bob prefers coffee', 'user', 'bob', 'red', [0, 1])
    await keep('Deployments happen on Fridays', 'instance', '', 'red', [0, 1])
    await keep('Blue prefers tea', 'user', 'ann', 'blue', [1, 0])
    const first = (await call('red/memories?limit=2', { token: weak })).json
    expect(first.items.map(({ content }) => content)).toEqual(['Deployments happen on Fridays', 'Bob prefers coffee'])
    expect(await contents(`red/memories?limit=2&continue=${String(first.continue)}`)).toEqual(['Ann prefers tea'])
    expect(await contents('red/memories?scope=user&owner=bob')).toEqual(['Bob prefers coffee'])
    expect(await contents('red/memories?instance=other')).toEqual([])
    expect((await call(`red/memories/${id}`)).json).toEqual({
      ...{ id, namespace: 'red', instance: 'bot', scope: 'user', owner: 'ann', content: 'Ann prefers tea' },
      ...{ run: 'run', call: 'c1', createdAt: new Date(start + 1000).toISOString(), expiresAt: null },
    })
  })

  test('are searched by meaning and words, or by words where there is no meaning', async () => {
    const search = async (body: object) => {
      const { json } = await call('red/memories/search', { method: 'POST', body })
      return [json.items.map(({ content }) => content), json.searchedBy]
    }
    expect(await search({ query: 'tea' })).toEqual([['Ann prefers tea'], ['words']])
    meant = [1, 0]
    expect(await search({ query: 'a hot drink', limit: 1 })).toEqual([['Ann prefers tea'], ['meaning', 'words']])
    expect(await search({ query: 'a hot drink', scope: 'instance' })).toEqual([
      ['Deployments happen on Fridays'],
      ['meaning', 'words'],
    ])
    meant = undefined
  })

  test('of an instance with a model of its own are searched by words, and no other model is shown the question', async () => {
    if (!store) throw new Error('there is no store')
    const at = { since: new Date(start), over: false, owners: { user: 'ann' } }
    const own = { model: 'vectors/v', dimensions: 2 }
    await chooseSpace(store, { namespace: 'red', instance: 'bot', ...at, space: own })
    meant = [1, 0]
    asked = 0
    const search = async (body: object) => (await call('red/memories/search', { method: 'POST', body })).json
    expect(await search({ query: 'tea', instance: 'bot' })).toMatchObject({
      items: [{ content: 'Ann prefers tea' }],
      searchedBy: ['words'],
    })
    expect(asked).toBe(0)
    expect((await search({ query: 'tea', instance: 'other' })).searchedBy).toEqual(['meaning', 'words'])
    expect(asked).toBe(1)
    await chooseSpace(store, { namespace: 'red', instance: 'bot', ...at, since: new Date(start + 1000) })
    expect((await search({ query: 'tea', instance: 'bot' })).searchedBy).toEqual(['meaning', 'words'])
    meant = undefined
  })

  test('are refused to another tenant, to who has not the verb, and to a wrong question', async () => {
    const [{ id } = { id: '' }] = (await call('red/memories')).json.items
    const query = { query: 'x' }
    for (const [path, token, method, status, body] of [
      ['red/memories', blue, 'GET', 403],
      ['red/memories', tidy, 'GET', 403],
      ['red/memories/search', blue, 'POST', 403, query],
      ['red/memories/search', tidy, 'POST', 403, query],
      [`red/memories/${id}`, weak, 'GET', 403],
      [`red/memories/${id}`, weak, 'DELETE', 403],
      ['red/memories?instance=bot&scope=user', weak, 'DELETE', 403],
      ['red/memories?instance=bot&scope=user', tidy, 'DELETE', 403],
      [`blue/memories/${id}`, blue, 'GET', 404],
      [`blue/memories/${id}`, blue, 'DELETE', 404],
      ['red/memories/nonsense', red, 'GET', 404],
      ['red/memories?limit=101', red, 'GET', 422],
      ['red/memories?scope=all', red, 'GET', 422],
      ['red/memories?owner=a%00b', red, 'GET', 422],
      ['red/memories?instance=bot', red, 'DELETE', 422],
      ['red/memories?scope=user', red, 'DELETE', 422],
      ['red/memories/search', red, 'POST', 422, { query: '' }],
      ['red/memories/search', red, 'POST', 422, { ...query, limit: 21 }],
      ['red/memories/search', red, 'POST', 422, { ...query, owner: 'a\0b' }],
    ] as const) {
      const answer = await call(path, { token, method, ...(body && { body }) })
      expect([path, method, answer.status]).toEqual([path, method, status])
    }
    expect(await contents('red/memories')).toHaveLength(3)
  })

  test('are deleted one by one, and all of a user or of an instance', async () => {
    const id = await keep('Wrong', 'user', 'ann')
    expect((await call(`red/memories/${id}`, { token: tidy, method: 'DELETE' })).status).toBe(204)
    expect((await call(`red/memories/${id}`, { token: tidy, method: 'DELETE' })).status).toBe(404)
    expect((await call(`red/memories/${id}`)).status).toBe(404)
    const remove = async (query: string) => (await call(`red/memories?${query}`, { method: 'DELETE' })).json
    expect(await remove('instance=bot&scope=user&owner=ann')).toEqual({ deleted: 1 })
    expect(await contents('red/memories')).toEqual(['Deployments happen on Fridays', 'Bob prefers coffee'])
    expect(await remove('instance=bot&scope=user')).toEqual({ deleted: 1 })
    expect(await remove('instance=bot&scope=instance')).toEqual({ deleted: 1 })
    expect(await contents('blue/memories', blue)).toEqual(['Blue prefers tea'])
  })
})
