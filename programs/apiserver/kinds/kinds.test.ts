import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type AgentRun, agentRuns, clawPolicies } from '#core/kinds'
import { openApiDocument } from '../openapi/document.ts'
import { routesAlone } from '../openapi/text.ts'
import { DocumentClient } from '../testing/client.test-support.ts'
import { type Served, startServed } from '../testing/served.test-support.ts'

let served: Served
let red: DocumentClient
let weak: DocumentClient
let blue: DocumentClient

beforeAll(async () => {
  served = await startServed()
  const document = openApiDocument(routesAlone()) as object
  const client = async (namespace: string, name: string, verbs: string[]) =>
    new DocumentClient(document, served.base, await served.account(namespace, name, verbs))
  red = await client('red', 'red', ['*'])
  weak = await client('red', 'weak', ['list', 'create'])
  blue = await client('blue', 'blue', ['*'])
})
afterAll(async () => {
  for (const client of [red, weak, blue]) client?.close()
  await served?.close()
})

const ns = { ns: 'red' }
const agents = { default: { model: { provider: 'demo', name: 'demo' } } }
const skills = [{ name: 'greet', description: 'How to greet.', content: '# Say hello' }]

describe.each([
  ['Instance', 'Instances', { agents }, { maxConcurrentRuns: 7 }],
  ['Policy', 'Policies', { toolGating: { defaultAction: 'allow' } }, { featureGates: { 'code-execution': true } }],
  ['SkillPack', 'SkillPacks', { skills }, { runtimeRequirements: { image: 'example.org/tools:1' } }],
])('the kind %s', (one, many, spec, change) => {
  const params = { ...ns, name: 'mine' }

  test('is created, read, replaced, changed and deleted by who may', async () => {
    const made = await red.call(`create${one}`, { params: ns, body: { metadata: { name: 'mine' }, spec } })
    expect([made.status, made.json.metadata.namespace]).toEqual([201, 'red'])
    const body = { metadata: { name: 'mine' }, spec }
    expect((await red.call(`create${one}`, { params: ns, body })).json.code).toBe('already_exists')
    expect((await red.call(`get${one}`, { params })).json.spec).toMatchObject(spec)
    const listed = (await red.call(`list${many}`, { params: ns })).json.items as { metadata: { name: string } }[]
    expect(listed.map(({ metadata }) => metadata.name)).toContain('mine')

    const { resourceVersion } = made.json.metadata
    const replaced = await red.call(`replace${one}`, {
      params,
      body: { metadata: { resourceVersion, labels: { team: 'red' } }, spec: { ...spec, ...change } },
    })
    expect(replaced.json.spec).toMatchObject(change)
    const late = { params, body: { metadata: { resourceVersion }, spec } }
    expect((await red.call(`replace${one}`, late)).json).toMatchObject({ status: 409, code: 'conflict' })
    const changed = await red.call(`patch${one}`, { params, body: { metadata: { labels: { team: null, tier: 'a' } } } })
    expect(changed.json).toMatchObject({ metadata: { labels: { tier: 'a' } }, spec: change })
    expect(changed.json.metadata.labels.team).toBeUndefined()
    const [key] = Object.keys(change)
    const taken = await red.call(`patch${one}`, { params, body: { spec: { [key ?? '']: null } } })
    expect(taken.json.spec).not.toMatchObject(change)

    expect((await red.call(`delete${one}`, { params })).status).toBe(204)
    expect((await red.call(`get${one}`, { params })).status).toBe(404)
  })

  test('is refused to another tenant and to who may not, and where something is wrong with it', async () => {
    const made = { params: ns, body: { metadata: { name: 'other' }, spec } }
    expect((await blue.call(`create${one}`, made)).json.code).toBe('forbidden')
    expect((await blue.call(`list${many}`, { params: ns })).json.code).toBe('forbidden')
    expect((await weak.call(`delete${one}`, { params })).json.code).toBe('forbidden')
    const wrong = { ...made, body: { ...made.body, spec: { ...spec, nonsense: 1 } } }
    expect((await red.call(`create${one}`, wrong)).json).toMatchObject({ status: 422, field: 'spec.nonsense' })
    const renamed = { params, body: { metadata: { name: 'x', resourceVersion: '1' }, spec } }
    expect((await red.call(`replace${one}`, renamed)).json.field).toBe('metadata.name')
    expect((await red.call(`replace${one}`, { params, body: { metadata: {}, spec } })).json.field).toBe(
      'metadata.resourceVersion',
    )
    const owned = { params, body: { metadata: { ownerReferences: [] } } }
    expect((await red.call(`patch${one}`, owned)).json.field).toBe('metadata.ownerReferences')
  })
})

describe('a list', () => {
  test('comes in pages, each with where the next begins, and by labels', async () => {
    for (const [name, team] of Object.entries({ p1: 'a', p2: 'b', p3: 'a', p4: 'b', p5: 'a' })) {
      const metadata = { name, labels: { team } }
      await red.call('createPolicy', { params: ns, body: { metadata, spec: {} } })
    }
    const names: string[] = []
    let token: string | undefined
    do {
      const query = { limit: '2', ...(token !== undefined && { continue: token }) }
      const page = (await red.call('listPolicies', { params: ns, query })).json
      expect(page.items.length).toBeLessThanOrEqual(2)
      names.push(...page.items.map((item: { metadata: { name: string } }) => item.metadata.name))
      token = page.continue
    } while (token !== undefined)
    expect(names).toEqual(['p1', 'p2', 'p3', 'p4', 'p5'])
    const query = { labelSelector: 'team in (a)' }
    expect((await red.call('listPolicies', { params: ns, query })).json.items).toHaveLength(3)
    for (const wrong of [{ labelSelector: '((' }, { continue: 'x' }, { limit: '501' }, { fieldSelector: 'a=b' }]) {
      const { status } = await red.call('listPolicies', { params: ns, query: wrong as Record<string, string> })
      expect([wrong, status >= 400 && status < 500]).toEqual([wrong, true])
    }
    await served.cluster.admin.delete(clawPolicies, { namespace: 'red', name: 'p1' })
  })

  test('of runs is also by instance and phase', async () => {
    const runs = ['a', 'b', 'a'].map((instance) => red.call('createRun', { params: ns, body: { instance, task: 'x' } }))
    const [first] = await Promise.all(runs)
    const at = { namespace: 'red', name: first?.json.metadata.name }
    await served.cluster.admin.patch<AgentRun>(agentRuns, at, { status: { phase: 'Running' } }, 'status')
    const count = async (query: Record<string, string>) =>
      (await red.call('listRuns', { params: ns, query })).json.items.length
    expect(await count({ instance: 'a' })).toBe(2)
    expect(await count({ instance: 'a', phase: 'Pending' })).toBe(1)
    expect(await count({ phase: 'Running' })).toBe(1)
    expect((await red.call('listRuns', { params: ns, query: { phase: 'Lost' } })).json.field).toBe('phase')
  })
})

describe('a run with a key', () => {
  const body = { instance: 'bot', task: 'once', toolPolicy: { deny: ['exec'] } }
  const keyed = (key: string) => ({ params: ns, body, headers: { 'idempotency-key': key } })

  test('is made once, however often and however much at once it is asked for', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => red.call('createRun', keyed('k1'))))
    expect(new Set(all.map(({ json }) => json.metadata.uid)).size).toBe(1)
    expect(all.filter(({ status }) => status === 201)).toHaveLength(1)
    expect(all.filter(({ status }) => status === 200)).toHaveLength(19)
    expect((await red.call('createRun', keyed('k2'))).status).toBe(201)
  })

  test('is made of one of those that ask for something else with its key at once, and the others are told', async () => {
    const all = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        red.call('createRun', { ...keyed('race'), body: { ...body, task: `${i}` } }),
      ),
    )
    const codes = all.map(({ status, json }) => (status === 201 ? json.spec.task : json.code))
    const [made] = codes.filter((code) => code !== 'already_exists')
    expect(codes).toEqual(all.map((_, i) => (`${i}` === made ? made : 'already_exists')))
  })

  test('is still the same after it was cancelled, and free to be made again once it is deleted', async () => {
    const { json } = await red.call('createRun', keyed('k3'))
    const params = { ...ns, name: json.metadata.name }
    await red.call('cancelRun', { params, body: { cancel: true } })
    expect((await red.call('createRun', keyed('k3'))).json.metadata.uid).toBe(json.metadata.uid)
    await red.call('deleteRun', { params })
    const again = await red.call('createRun', keyed('k3'))
    expect([again.status, again.json.metadata.uid === json.metadata.uid]).toEqual([201, false])
  })

  test('refuses the key for anything else, and does not know it from another user', async () => {
    await red.call('createRun', keyed('k4'))
    const other = { ...keyed('k4'), body: { ...body, task: 'twice' } }
    expect((await red.call('createRun', other)).json).toMatchObject({
      status: 409,
      code: 'already_exists',
      field: 'idempotency-key',
    })
    expect((await weak.call('createRun', other)).status).toBe(201)
    for (const key of ['', 'a b', 'x'.repeat(129), 'ü'])
      expect([key, (await red.call('createRun', keyed(key))).json.field]).toEqual([key, 'idempotency-key'])
  })
})
