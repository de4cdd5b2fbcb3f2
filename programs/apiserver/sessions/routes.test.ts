import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { agentRuns, type KubeObject } from '#core/kinds'
import { clusterRoleBindings, clusterRoles, namespaces, roleBindings, roles, serviceAccounts } from '#core/kube'
import { migrate, openStore, project, type RecordEntry, type Store } from '#core/store'
import { createLogger } from '#core/telemetry'
import { startCluster, type TestCluster } from '../../../test/support/cluster.ts'
import { databases, type TestDatabase } from '../../../test/support/database.ts'
import { apiServer } from '../server.ts'

const log = createLogger('test')
log.level = 'silent'
const start = Date.parse('2026-03-01T12:00:00Z')

let cluster: TestCluster
let database: TestDatabase
let store: Store | undefined
let folder: string
let server: Server
let base: string
/** May do all with sessions and usage of `red`; may list them only; may do all with those of `blue`. */
let red: string
let weak: string
let blue: string

beforeAll(async () => {
  const [first] = databases
  if (!first) throw new Error('there is no database')
  ;[cluster, database] = await Promise.all([startCluster(), first.start()])
  for (const name of ['red', 'blue']) {
    await cluster.admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
  }
  red = await account('red', 'red', ['*'])
  weak = await account('red', 'weak', ['list'])
  blue = await account('blue', 'blue', ['*'])
  const kube = await cluster.as('k8sclaw-system', 'k8sclaw-apiserver')
  const { signal } = new AbortController()
  folder = await mkdtemp(join(tmpdir(), 'k8sclaw-prices-'))
  const pricesFile = join(folder, 'prices.yaml')
  server = apiServer({ kube, bus: () => undefined, store: () => store, log, signal, pricesFile })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}, 120_000)
afterAll(async () => {
  server?.closeAllConnections()
  server?.close()
  await store?.close()
  await Promise.all([cluster?.close(), database?.close(), rm(folder, { recursive: true, force: true })])
})

async function account(namespace: string, name: string, verbs: string[]): Promise<string> {
  const meta = { metadata: { name, namespace } }
  const apiVersion = 'rbac.authorization.k8s.io/v1'
  await cluster.admin.create(serviceAccounts, { apiVersion: 'v1', kind: 'ServiceAccount', ...meta })
  const resources = ['sessions', 'usagereports', 'agentruns']
  const rules = [{ apiGroups: ['k8sclaw.io'], resources, verbs }]
  await cluster.admin.create(roles, { apiVersion, kind: 'Role', ...meta, rules } as KubeObject)
  await cluster.admin.create(roleBindings, {
    apiVersion,
    kind: 'RoleBinding',
    ...meta,
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
    subjects: [{ kind: 'ServiceAccount', name, namespace }],
  } as KubeObject)
  return (await cluster.api.client.mintToken({ namespace, name })).token
}

const encoded = (text: string) => Buffer.from(text).toString('base64url')

async function call(path: string, token = red, method = 'GET', body?: object) {
  const response = await fetch(new URL(path, `${base}/api/v1/namespaces/`), {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, json: text ? (JSON.parse(text) as Record<string, unknown>) : {} }
}

async function record(namespace: string, key: string, run: string, sequence: number): Promise<void> {
  const place = { stream: 'RUNS', namespace, instance: 'bot', run }
  const at = (after: number) => new Date(start + (sequence + after) * 1000)
  const task = { run, agent: 'default', sessionKey: key, task: `${run}?`, model: { provider: 'demo', name: 'demo' } }
  const ended = { phase: 'Succeeded', reason: 'Completed', result: `${run}.`, usage: { modelCalls: 1, toolCalls: 0 } }
  const used = { at: at(1).toISOString(), provider: 'demo', model: 'demo', inputTokens: 3, outputTokens: 4 }
  const entries: RecordEntry[] = [
    { ...place, sequence, at: at(0), kind: 'in', body: { type: 'task', task, effective: { policy: { name: 'p' } } } },
    { ...place, sequence: sequence + 1, at: at(1), kind: 'outcome', body: ended },
    { ...place, stream: 'USAGE', sequence, at: at(1), kind: 'usage', body: used },
  ]
  if (!store) throw new Error('there is no store')
  await project(store, { stream: 'RUNS', created: 'x', entries, setAside: [], through: sequence + 1 })
}

describe('sessions and usage', () => {
  test('wait for the database, and say so', async () => {
    expect((await call('red/sessions')).json).toMatchObject({ status: 503, code: 'unavailable' })
    store = openStore({ url: database.url, log })
    await migrate(store)
    expect(await call('red/sessions')).toEqual({ status: 200, json: { items: [] } })
  })

  test('are shown in pages to who may list them, the last used first', async () => {
    for (const [i, key] of ['a', 'b', 'c'].entries()) await record('red', key, `red-${key}`, 10 * i)
    await record('blue', 'a', 'blue-a', 100)
    const first = (await call('red/sessions?limit=2', weak)).json as { items: { key: string }[]; continue: string }
    expect(first.items.map(({ key }) => key)).toEqual(['c', 'b'])
    const second = await call(`red/sessions?limit=2&continue=${first.continue}`, weak)
    expect(second.json).toMatchObject({ items: [{ key: 'a', instance: 'bot', runs: 1 }] })
    expect(second.json.continue).toBeUndefined()
    const records = (await call('red/records?limit=1')).json
    expect(records).toMatchObject({ items: [{ uid: 'red-c', task: 'red-c?', result: 'red-c.', phase: 'Succeeded' }] })
    const usage = { day: '2026-03-01', agent: 'default', policy: 'p', calls: 3, inputTokens: 9, outputTokens: 12 }
    expect((await call('red/usage?from=2026-03-01&to=2026-03-02')).json).toMatchObject({ items: [usage] })
    expect((await call('red/usage?from=2026-03-02&to=2026-03-03')).json).toEqual({ items: [] })
  })

  test('cost what the model cost on that day, by the prices of the operator as they are now', async () => {
    const cost = async () => {
      const { json } = await call('red/usage?from=2026-03-01&to=2026-03-02')
      return (json as { items: { costMicroUSD: number | null }[] }).items.map(({ costMicroUSD }) => costMicroUSD)
    }
    const price = (from: string) =>
      writeFile(
        join(folder, 'prices.yaml'),
        `- { provider: demo, model: demo, from: ${from}, inputPerMillion: 2, outputPerMillion: "0.5" }`,
      )
    expect(await cost()).toEqual([0])
    await price('2026-03-01')
    expect(await cost()).toEqual([24])
    await writeFile(join(folder, 'prices.yaml'), 'no: prices')
    expect(await cost()).toEqual([24])
    await price('2026-03-02')
    expect(await cost()).toEqual([null])
    await rm(join(folder, 'prices.yaml'))
    expect(await cost()).toEqual([0])
  })

  test('are refused to another tenant, to who may only list, and to a wrong question', async () => {
    const [session] = ((await call('red/sessions')).json as { items: { id: string }[] }).items
    const id = session?.id ?? ''
    expect((await call(`red/sessions/${id}`)).json).toMatchObject({
      key: 'c',
      messages: [
        { role: 'user', content: 'red-c?' },
        { role: 'assistant', content: 'red-c.' },
      ],
    })
    for (const [path, token, method, status] of [
      ['red/sessions', blue, 'GET', 403],
      ['red/records', blue, 'GET', 403],
      ['red/usage?from=2026-03-01&to=2026-03-02', blue, 'GET', 403],
      [`red/sessions/${id}`, weak, 'GET', 403],
      [`red/sessions/${id}`, weak, 'DELETE', 403],
      [`red/sessions/${id}/reset`, weak, 'POST', 403],
      [`red/sessions/${id}/export`, weak, 'GET', 403],
      ['/api/v1/sessions/rebuild', red, 'POST', 403],
      ['/api/v1/sessions/set-aside', red, 'GET', 403],
      [`blue/sessions/${id}`, blue, 'GET', 404],
      [`blue/sessions/${id}`, blue, 'DELETE', 404],
      [`blue/sessions/${id}/reset`, blue, 'POST', 404],
      ['red/sessions/..%2f..', red, 'GET', 404],
    ] as const) {
      expect([path, method, (await call(path, token, method)).status]).toEqual([path, method, status])
    }
    for (const [query, field] of [
      ['limit=0', 'limit'],
      ['limit=x', 'limit'],
      ['continue=nonsense', 'continue'],
      [`continue=${Buffer.from('["2026-03-01T00:00:00Z","a\\u0000b"]').toString('base64url')}`, 'continue'],
      [`continue=${Buffer.from('["0000-03-01T00:00:00Z","a"]').toString('base64url')}`, 'continue'],
      ['instance=a%00b', 'instance'],
      ['sort=name', 'sort'],
    ]) {
      expect((await call(`red/sessions?${query}`)).json).toMatchObject({ status: 422, code: 'invalid', field })
    }
    expect((await call('red/usage?from=2026-03-01')).json).toMatchObject({ status: 422, field: 'to' })
    expect((await call('red/usage?from=0000-01-01&to=2026-03-01')).json).toMatchObject({ status: 422, field: 'from' })
  })

  test('are shown in pages of what was said, with the summary that runs are told of their beginning', async () => {
    const [session] = ((await call('red/sessions')).json as { items: { id: string }[] }).items
    const path = `red/sessions/${session?.id}`
    const first = (await call(`${path}?limit=1`)).json
    expect(first).toMatchObject({ key: 'c', messages: [{ content: 'red-c?' }], continue: expect.any(String) })
    expect(first.summary).toBeUndefined()
    const place = { stream: 'RUNS', namespace: 'red', instance: 'bot', run: 'red-c', at: new Date(start + 22_000) }
    const output = { text: 'In short.', through: 'red-c', messages: 2, partial: false }
    const entries = [{ ...place, sequence: 22, kind: 'summary', body: { answer: { output } } }]
    if (store) await project(store, { stream: 'RUNS', created: 'x', entries, setAside: [], through: 22 })
    const second = (await call(`${path}?limit=1&continue=${first.continue}`)).json
    expect(second).toMatchObject({
      messages: [{ content: 'red-c.' }],
      summary: { run: 'red-c', model: 'demo/demo', through: 'red-c', content: 'In short.' },
    })
    expect(second.continue).toBeUndefined()
    for (const token of ['nonsense', ...['["own",-1,0]', '["x",0,0]', '["own",4294967296,0]'].map(encoded)])
      expect((await call(`${path}?continue=${token}`)).json).toMatchObject({ status: 422, field: 'continue' })
  })

  test('are exported, and forked by who may read one and make another', async () => {
    const [session] = ((await call('red/sessions')).json as { items: { id: string }[] }).items
    const path = `red/sessions/${session?.id}`
    const exported = await fetch(`${base}/api/v1/namespaces/${path}/export`, {
      headers: { authorization: `Bearer ${red}` },
    })
    expect(exported.headers.get('content-type')).toBe('application/x-ndjson')
    const lines = (await exported.text()).trim().split('\n')
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([{ content: 'red-c?' }, { content: 'red-c.' }])
    expect((await call(`${path}/fork`, weak, 'POST', { key: 'x' })).status).toBe(403)
    expect((await call(`${path}/fork`, red, 'POST', { key: '' })).status).toBe(422)
    expect((await call(`${path}/fork`, red, 'POST', { key: 'x', through: 'y' })).json).toMatchObject({
      ...{ status: 422, field: 'through' },
    })
    expect((await call(`${path}/fork`, red, 'POST', { key: 'c' })).status).toBe(409)
    const { status, json } = await call(`${path}/fork`, red, 'POST', { key: 'fork' })
    expect(status).toBe(201)
    expect((await call(`red/sessions/${json.id}`)).json).toMatchObject({ key: 'fork', messages: [{}, {}] })
    expect((await call(`red/sessions/${json.id}`, red, 'DELETE')).status).toBe(204)
  })

  test('are made again by who may do so everywhere', async () => {
    const rule = { apiGroups: ['k8sclaw.io'], resources: ['sessions'], verbs: ['rebuild'] }
    const apiVersion = 'rbac.authorization.k8s.io/v1'
    const metadata = { name: 'rebuilder' }
    await cluster.admin.create(clusterRoles, { apiVersion, kind: 'ClusterRole', metadata, rules: [rule] } as KubeObject)
    await cluster.admin.create(clusterRoleBindings, {
      ...{ apiVersion, kind: 'ClusterRoleBinding', metadata },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'rebuilder' },
      subjects: [{ kind: 'ServiceAccount', name: 'red', namespace: 'red' }],
    } as KubeObject)
    const before = (await call('red/sessions')).json
    // Four runs, each with its task, its outcome and what it used, and a summary.
    expect((await call('/api/v1/sessions/rebuild', red, 'POST')).json).toEqual({ entries: 13 })
    expect((await call('red/sessions')).json).toEqual(before)
  })

  test('leave what cannot be read aside, which who may make them again is shown in pages, without its content', async () => {
    const subject = 'k8sclaw.red.bot.run.poisoned.journal'
    const asides = [1, 2, 3].map((second) => {
      const at = new Date(start + second * 1000)
      return { sequence: 200 + second, subject, reason: 'not JSON', body: Buffer.from('a secret'), at }
    })
    if (store) await project(store, { stream: 'RUNS', created: 'x', entries: [], setAside: asides, through: 203 })
    const path = '/api/v1/sessions/set-aside'
    const first = (await call(`${path}?limit=2`)).json
    const [row] = first.items as object[]
    const at = new Date(start + 3_000).toISOString()
    expect(row).toEqual({ stream: 'RUNS', sequence: 203, subject, reason: 'not JSON', bytes: 8, at })
    const second = (await call(`${path}?limit=2&continue=${first.continue}`)).json
    expect(second).toMatchObject({ items: [{ sequence: 201 }] })
    expect(second.continue).toBeUndefined()
    for (const token of ['["2026-03-01T00:00:00Z","RUNS",-1]', '["2026-03-01T00:00:00Z","a",1]', '[1]'])
      expect((await call(`${path}?continue=${encoded(token)}`)).json).toMatchObject({ status: 422, field: 'continue' })
  })

  test('are deleted with their AgentRuns, and with no other', async () => {
    for (const [name, sessionKey, instance] of [
      ['of-it', 'c', 'bot'],
      ['of-another', 'b', 'bot'],
      ['of-another-bot', 'c', 'bot2'],
    ]) {
      const spec = { instanceRef: { name: instance }, task: 'x', sessionKey }
      const metadata = { name, namespace: 'red' }
      await cluster.admin.create(agentRuns, {
        apiVersion: 'k8sclaw.io/v1alpha1',
        kind: 'AgentRun',
        metadata,
        spec,
      } as KubeObject)
    }
    const [session] = ((await call('red/sessions')).json as { items: { id: string; key: string }[] }).items
    expect(session?.key).toBe('c')
    expect((await call(`red/sessions/${session?.id}`, red, 'DELETE')).status).toBe(204)
    const left = (await cluster.admin.list(agentRuns, { namespace: 'red' })).items.map(({ metadata }) => metadata.name)
    expect(left.sort()).toEqual(['of-another', 'of-another-bot'])
  })

  test('are reset and deleted, by their id and in their namespace', async () => {
    const [session] = ((await call('red/sessions')).json as { items: { id: string }[] }).items
    expect((await call(`red/sessions/${session?.id}/reset`, red, 'POST')).status).toBe(204)
    expect((await call(`red/sessions/${session?.id}`, red, 'DELETE')).status).toBe(204)
    expect((await call(`red/sessions/${session?.id}`)).status).toBe(404)
    expect((await call(`red/sessions/${session?.id}`, red, 'DELETE')).status).toBe(404)
    expect(((await call('blue/sessions', blue)).json as { items: unknown[] }).items).toHaveLength(1)
  })
})

test('a list that is read in pages shows each of what there was once, whatever is added meanwhile', async () => {
  let sequence = 10_000
  const add = async () => {
    sequence += 10
    await record('blue', `key-${sequence}`, `run-${sequence}`, sequence)
  }
  for (let i = 0; i < 4; i++) await add()
  for (const what of ['sessions', 'records']) {
    const read = async (query: string) => {
      const { items, continue: next } = (await call(`blue/${what}?${query}`, blue)).json
      const ids = (items as { id?: string; uid?: string }[]).map(({ id, uid }) => id ?? uid)
      return { ids, next: next as string | undefined }
    }
    const all = await read('limit=500')
    const paged = await read('limit=2')
    while (paged.next !== undefined) {
      await add()
      const { ids, next } = await read(`limit=2&continue=${paged.next}`)
      paged.ids.push(...ids)
      paged.next = next
    }
    expect(paged.ids).toEqual(all.ids)
    expect(all.ids.length).toBeGreaterThan(4)
  }
})
