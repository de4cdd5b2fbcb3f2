import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { widgetDefinition } from '../../test/conformance/widget.ts'
import { ApiError, type KubeObject, type ObjectInput, resources } from './index.ts'
import { startTestApi, type TestApi, widgets } from './testing.ts'

let server: TestApi
const { configMaps, pods, namespaces, jobs, services, customResourceDefinitions } = resources

beforeAll(async () => {
  server = await startTestApi({ servicePrefix: '127.44.5.' })
  await server.api.client.create(customResourceDefinitions, widgetDefinition)
})
afterAll(() => server.close())

const configMap = (name: string, more: Partial<ObjectInput> = {}, metadata = {}): ObjectInput => ({
  metadata: { name, namespace: 'default', ...metadata },
  ...more,
})
const widget = (name: string, spec: object = { size: 3 }): ObjectInput => ({
  metadata: { name, namespace: 'default' },
  spec,
})
const pod = (name: string, spec: object = {}, metadata: object = {}): ObjectInput => ({
  metadata: { name, namespace: 'default', ...metadata },
  spec: { containers: [{ name: 'main', image: 'busybox' }], ...spec },
})

async function refusal(work: Promise<unknown>): Promise<ApiError> {
  try {
    await work
  } catch (error) {
    if (error instanceof ApiError) return error
    throw error
  }
  throw new Error('it was not refused')
}

const inDefault = (name: string): { namespace: string; name: string } => ({ namespace: 'default', name })

async function isGone(resource: typeof configMaps | typeof namespaces, key: { namespace?: string; name: string }) {
  const answer = await refusal(server.api.client.get(resource, key)).catch(() => undefined)
  return answer?.code === 404
}

describe('writing', () => {
  test('a created object gets uid, revision, time, and generation where its kind counts one', async () => {
    const created = await server.api.client.create(widgets, widget('born'))
    expect(created.metadata).toMatchObject({ name: 'born', namespace: 'default', generation: 1 })
    expect(created.metadata.uid).toMatch(/^[0-9a-f-]{36}$/)
    expect(created.metadata.creationTimestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    expect(Number(created.metadata.resourceVersion)).toBeGreaterThan(0)
    expect(created.spec).toEqual({ size: 3, color: 'red' })
  })

  test('a second object of the same name is AlreadyExists', async () => {
    await server.api.client.create(configMaps, configMap('twin'))
    const error = await refusal(server.api.client.create(configMaps, configMap('twin')))
    expect(error).toMatchObject({ code: 409, reason: 'AlreadyExists', message: 'configmaps "twin" already exists' })
  })

  test('generateName gives each object a name of its own', async () => {
    const make = () =>
      server.api.client.create(configMaps, { metadata: { namespace: 'default', generateName: 'many-' } })
    const names = (await Promise.all(Array.from({ length: 20 }, make))).map(({ metadata }) => metadata.name)
    expect(new Set(names).size).toBe(20)
    expect(names.every((name) => /^many-[a-z0-9]{5}$/.test(name))).toBe(true)
  })

  test('an update with an old resourceVersion is a conflict, and without one replaces built-in kinds only', async () => {
    const first = await server.api.client.create(configMaps, configMap('versions', { data: { a: '1' } }))
    await server.api.client.update(configMaps, configMap('versions', { data: { a: '2' } }))
    const stale = await refusal(server.api.client.update(configMaps, { ...first, data: { a: '3' } }))
    expect(stale).toMatchObject({ code: 409, reason: 'Conflict' })
    expect(stale.message).toContain('please apply your changes to the latest version')
    await server.api.client.create(widgets, widget('versions'))
    const unversioned = await refusal(server.api.client.update(widgets, widget('versions', { size: 4 })))
    expect(unversioned.message).toContain('metadata.resourceVersion: Invalid value: 0: must be specified for an update')
  })

  test('concurrent patches of one object all land', async () => {
    await server.api.client.create(configMaps, configMap('busy'))
    await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        server.api.client.patch(configMaps, inDefault('busy'), { data: { [`k${i}`]: 'x' } }),
      ),
    )
    const { data } = await server.api.client.get(configMaps, inDefault('busy'))
    expect(Object.keys(data as object)).toHaveLength(10)
  })

  test('a write that changes nothing makes no revision', async () => {
    const first = await server.api.client.create(configMaps, configMap('same', { data: { a: '1' } }))
    const second = await server.api.client.patch(configMaps, inDefault('same'), { data: { a: '1' } })
    expect(second.metadata.resourceVersion).toBe(first.metadata.resourceVersion)
  })

  test('generation counts changes of the spec, and neither labels nor status', async () => {
    const { client } = server.api
    const key = inDefault('counted')
    await client.create(widgets, widget('counted'))
    await client.patch(widgets, key, { metadata: { labels: { a: 'b' } } })
    await client.patch(widgets, key, { status: { phase: 'Up' } }, { subresource: 'status' })
    expect((await client.get(widgets, key)).metadata.generation).toBe(1)
    await client.patch(widgets, key, { spec: { size: 5 } })
    expect((await client.get(widgets, key)).metadata.generation).toBe(2)
  })

  test('status is written through its subresource only, and only status is', async () => {
    const { client } = server.api
    const key = inDefault('isolated')
    await client.create(widgets, { ...widget('isolated'), status: { phase: 'Forged' } })
    expect((await client.get(widgets, key)).status).toBeUndefined()
    await client.patch(widgets, key, { status: { phase: 'Up' }, spec: { size: 9 } }, { subresource: 'status' })
    await client.patch(widgets, key, { status: { phase: 'Forged' }, spec: { size: 4 } })
    expect(await client.get(widgets, key)).toMatchObject({ spec: { size: 4 }, status: { phase: 'Up' } })
  })

  test('a dry run does everything but store', async () => {
    const { client } = server.api
    const shown = await client.create(widgets, widget('ghost'), { dryRun: true })
    expect(shown.spec).toMatchObject({ color: 'red' })
    expect(await isGone(widgets, inDefault('ghost'))).toBe(true)
    const bad = await refusal(client.create(widgets, widget('ghost', { size: 99 }), { dryRun: true }))
    expect(bad.code).toBe(422)
  })

  test('names, labels and namespaces are checked', async () => {
    const { client } = server.api
    expect((await refusal(client.create(configMaps, configMap('Not_OK')))).message).toContain(
      'metadata.name: Invalid value',
    )
    const label = await refusal(client.create(configMaps, configMap('ok', {}, { labels: { 'a b': 'c' } })))
    expect(label.message).toContain('metadata.labels: Invalid value: "a b"')
    const nowhere = await refusal(client.create(configMaps, configMap('ok', {}, { namespace: 'nowhere' })))
    expect(nowhere).toMatchObject({ code: 404, message: 'namespaces "nowhere" not found' })
  })

  test('what the client hands out can be changed without changing what is stored', async () => {
    const { client } = server.api
    await client.create(configMaps, configMap('mine', { data: { a: '1' } }))
    const copy = await client.get(configMaps, inDefault('mine'))
    ;(copy.data as Record<string, string>).a = 'changed'
    expect((await client.get(configMaps, inDefault('mine'))).data).toEqual({ a: '1' })
  })
})

describe('custom resources', () => {
  test.each([
    [{}, 'spec.size: Required value'],
    [{ size: 'big' }, 'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"'],
    [{ size: 11 }, 'spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10'],
    [{ size: 1, color: 'green' }, 'spec.color: Unsupported value: "green": supported values: "red", "blue"'],
    [{ size: 1, code: 'A1' }, 'spec.code: Invalid value: "A1": spec.code in body should match \'^[a-z]+$\''],
    [{ size: 1, code: 'abcdef' }, 'spec.code: Too long: may not be more than 5 bytes'],
    [{ size: 1, port: true }, 'spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string'],
    [{ size: 1, parts: [{ name: 'a' }, { name: 'a' }] }, 'spec.parts[1]: Duplicate value'],
    [{ size: 2, color: 'blue' }, 'spec.size: Forbidden: a blue widget is larger than 2'],
  ])('%j is refused with the field and the reason', async (spec, sentence) => {
    const error = await refusal(server.api.client.create(widgets, widget('bad', spec)))
    expect(error).toMatchObject({ code: 422, reason: 'Invalid' })
    expect(error.message).toContain(sentence)
    expect(error.details?.causes?.length).toBeGreaterThan(0)
  })

  test('unknown fields are refused under strict validation, unless the schema keeps them', async () => {
    const error = await refusal(server.api.client.create(widgets, widget('odd', { size: 1, x: 1 })))
    expect(error).toMatchObject({ code: 400, reason: 'BadRequest' })
    expect(error.message).toContain('strict decoding error: unknown field "spec.x"')
    const kept = await server.api.client.create(widgets, widget('odd', { size: 1, free: { any: { thing: [1] } } }))
    expect(kept.spec).toMatchObject({ free: { any: { thing: [1] } } })
  })

  test('defaults are set all the way down, and null means absent', async () => {
    const spec = { size: 1, color: null, parts: [{ name: 'a' }] }
    const created = await server.api.client.create(widgets, widget('defaults', spec))
    expect(created.spec).toEqual({ size: 1, color: 'red', parts: [{ name: 'a', weight: 1 }] })
  })

  test('transition rules hold on update only, and find the items of keyed lists', async () => {
    const key = inDefault('moving')
    await server.api.client.create(
      widgets,
      widget('moving', { size: 3, owner: 'me', parts: [{ name: 'a', weight: 5 }] }),
    )
    const owner = await refusal(server.api.client.patch(widgets, key, { spec: { owner: 'you' } }))
    expect(owner.message).toContain('spec: Invalid value: owner is immutable')
    const parts = [
      { name: 'b', weight: 1 },
      { name: 'a', weight: 4 },
    ]
    const lighter = await refusal(server.api.client.patch(widgets, key, { spec: { parts } }))
    expect(lighter.message).toContain('spec.parts[1]: Invalid value: a part never gets lighter')
  })

  test('a rule that does not compile, a bad pattern or a wrong name refuses the definition', async () => {
    const broken = structuredClone<unknown>(widgetDefinition) as KubeObject
    broken.metadata.name = 'wrong.example.io'
    const spec = broken.spec as { versions: { schema: { openAPIV3Schema: { properties: Record<string, object> } } }[] }
    const properties = spec.versions[0]?.schema.openAPIV3Schema.properties as Record<string, object>
    properties.extra = { type: 'string', pattern: '(', 'x-kubernetes-validations': [{ rule: 'self ==' }] }
    const error = await refusal(server.api.client.create(customResourceDefinitions, broken))
    expect(error.message).toContain('must be spec.names.plural+"."+spec.group')
    expect(error.message).toContain('pattern: Invalid value: "("')
    expect(error.message).toContain('compilation failed')
  })

  test('deleting a definition deletes its objects and its paths', async () => {
    const other = structuredClone<unknown>(widgetDefinition) as KubeObject
    other.metadata.name = 'gizmos.example.org'
    Object.assign(other.spec as object, { group: 'example.org', names: { plural: 'gizmos', kind: 'Gizmo' } })
    const gizmos = { group: 'example.org', version: 'v1', plural: 'gizmos' }
    await server.api.client.create(customResourceDefinitions, other)
    await server.api.client.create(gizmos, widget('g1'))
    await server.api.client.delete(customResourceDefinitions, { name: 'gizmos.example.org' })
    await vi.waitFor(async () =>
      expect(await isGone(customResourceDefinitions, { name: 'gizmos.example.org' })).toBe(true),
    )
    expect((await refusal(server.api.client.list(gizmos))).message).toContain('could not find the requested resource')
  })
})

describe('deleting', () => {
  test('finalizers hold an object until the last of them is gone', async () => {
    const { client } = server.api
    const key = inDefault('held')
    await client.create(configMaps, configMap('held', {}, { finalizers: ['example.io/keep'] }))
    await client.delete(configMaps, key)
    expect((await client.get(configMaps, key)).metadata.deletionTimestamp).toBeDefined()
    const added = await refusal(
      client.patch(configMaps, key, { metadata: { finalizers: ['example.io/keep', 'example.io/new'] } }),
    )
    expect(added.message).toContain('no new finalizers can be added if the object is being deleted')
    await client.patch(configMaps, key, { metadata: { finalizers: null } })
    expect(await isGone(configMaps, key)).toBe(true)
  })

  test('preconditions protect a namesake', async () => {
    const { client } = server.api
    await client.create(configMaps, configMap('guarded'))
    const error = await refusal(client.delete(configMaps, inDefault('guarded'), { preconditions: { uid: 'another' } }))
    expect(error).toMatchObject({ code: 409, reason: 'Conflict' })
    expect(await isGone(configMaps, inDefault('guarded'))).toBe(false)
  })

  const owned = async (name: string, block = false): Promise<void> => {
    const owner = await server.api.client.create(configMaps, configMap(name))
    const reference = { apiVersion: 'v1', kind: 'ConfigMap', name, uid: owner.metadata.uid, blockOwnerDeletion: block }
    await server.api.client.create(configMaps, configMap(`${name}-child`, {}, { ownerReferences: [reference] }))
  }

  test('dependents go with their owner in the background', async () => {
    await owned('back')
    await server.api.client.delete(configMaps, inDefault('back'))
    await vi.waitFor(async () => expect(await isGone(configMaps, inDefault('back-child'))).toBe(true))
  })

  test('foreground deletion keeps the owner until blocking dependents are gone', async () => {
    const { client } = server.api
    await owned('fore', true)
    await client.patch(configMaps, inDefault('fore-child'), { metadata: { finalizers: ['example.io/slow'] } })
    await client.delete(configMaps, inDefault('fore'), { propagation: 'Foreground' })
    await vi.waitFor(async () => {
      expect((await client.get(configMaps, inDefault('fore-child'))).metadata.deletionTimestamp).toBeDefined()
    })
    expect((await client.get(configMaps, inDefault('fore'))).metadata.finalizers).toEqual(['foregroundDeletion'])
    await client.patch(configMaps, inDefault('fore-child'), { metadata: { finalizers: null } })
    await vi.waitFor(async () => expect(await isGone(configMaps, inDefault('fore'))).toBe(true))
  })

  test('orphans lose the reference and stay', async () => {
    const { client } = server.api
    await owned('orphan')
    await client.delete(configMaps, inDefault('orphan'), { propagation: 'Orphan' })
    await vi.waitFor(async () => expect(await isGone(configMaps, inDefault('orphan'))).toBe(true))
    expect((await client.get(configMaps, inDefault('orphan-child'))).metadata.ownerReferences ?? []).toEqual([])
  })

  test('an object whose owner never existed is collected', async () => {
    const reference = { apiVersion: 'v1', kind: 'ConfigMap', name: 'nobody', uid: 'nobody' }
    await server.api.client.create(configMaps, configMap('stray', {}, { ownerReferences: [reference] }))
    await vi.waitFor(async () => expect(await isGone(configMaps, inDefault('stray'))).toBe(true))
  })

  test('a namespace takes everything in it along, and nothing new in meanwhile', async () => {
    const { client } = server.api
    await client.create(namespaces, { metadata: { name: 'doomed' } })
    await client.create(configMaps, configMap('held', {}, { namespace: 'doomed', finalizers: ['example.io/keep'] }))
    await client.create(widgets, { ...widget('w'), metadata: { name: 'w', namespace: 'doomed' } })
    await client.delete(namespaces, { name: 'doomed' })
    expect((await client.get(namespaces, { name: 'doomed' })).status).toMatchObject({ phase: 'Terminating' })
    const late = await refusal(client.create(configMaps, configMap('late', {}, { namespace: 'doomed' })))
    expect(late.message).toContain('unable to create new content in namespace doomed because it is being terminated')
    await vi.waitFor(async () => expect(await isGone(widgets, { namespace: 'doomed', name: 'w' })).toBe(true))
    await client.patch(configMaps, { namespace: 'doomed', name: 'held' }, { metadata: { finalizers: null } })
    await vi.waitFor(async () => expect(await isGone(namespaces, { name: 'doomed' })).toBe(true))
  })

  test('the namespaces of the cluster itself stay', async () => {
    const error = await refusal(server.api.client.delete(namespaces, { name: 'default' }))
    expect(error).toMatchObject({ code: 403, message: expect.stringContaining('may not be deleted') })
  })

  test('a pod on a node is marked and leaves when the node says so; one without a node leaves at once', async () => {
    const { client } = server.api
    await client.create(pods, pod('homeless'))
    await client.delete(pods, inDefault('homeless'))
    expect(await isGone(pods, inDefault('homeless'))).toBe(true)
    await client.create(pods, pod('housed', { terminationGracePeriodSeconds: 7 }))
    await client.patch(pods, inDefault('housed'), { spec: { nodeName: 'local' } })
    await client.delete(pods, inDefault('housed'))
    const { metadata } = await client.get(pods, inDefault('housed'))
    expect(metadata).toMatchObject({ deletionGracePeriodSeconds: 7 })
    expect(Date.parse(metadata.deletionTimestamp ?? '')).toBeGreaterThan(Date.parse(metadata.creationTimestamp) + 5000)
    await client.delete(pods, inDefault('housed'), { gracePeriodSeconds: 0 })
    expect(await isGone(pods, inDefault('housed'))).toBe(true)
  })

  test('a batch/v1 Job orphans its pods unless the client says otherwise, as the real one does', async () => {
    const { client } = server.api
    const job = await client.create(jobs, {
      metadata: { name: 'j', namespace: 'default' },
      spec: { template: { spec: { restartPolicy: 'Never', containers: [{ name: 'a', image: 'b' }] } } },
    })
    expect(job.spec).toMatchObject({
      selector: { matchLabels: { 'batch.kubernetes.io/controller-uid': job.metadata.uid } },
    })
    const reference = { apiVersion: 'batch/v1', kind: 'Job', name: 'j', uid: job.metadata.uid, controller: true }
    await client.create(pods, pod('j-pod', {}, { ownerReferences: [reference] }))
    await client.delete(jobs, inDefault('j'))
    await vi.waitFor(async () => expect(await isGone(jobs, inDefault('j'))).toBe(true))
    expect((await client.get(pods, inDefault('j-pod'))).metadata.ownerReferences ?? []).toEqual([])
  })
})

describe('built-in kinds', () => {
  test('a pod is defaulted and gets a token volume, unless it declines', async () => {
    const { client } = server.api
    const plain = await client.create(pods, pod('plain'))
    expect(plain.spec).toMatchObject({
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
      serviceAccountName: 'default',
      containers: [
        {
          imagePullPolicy: 'Always',
          volumeMounts: [{ mountPath: '/var/run/secrets/kubernetes.io/serviceaccount', readOnly: true }],
        },
      ],
      volumes: [{ projected: { sources: [{ serviceAccountToken: { path: 'token' } }, {}, {}] } }],
    })
    expect(plain.status).toMatchObject({ phase: 'Pending', qosClass: 'BestEffort' })
    const bare = await client.create(pods, pod('bare', { automountServiceAccountToken: false }))
    expect((bare.spec as { volumes?: unknown }).volumes).toBeUndefined()
  })

  test('a pod without its ServiceAccount is refused', async () => {
    const error = await refusal(server.api.client.create(pods, pod('lost', { serviceAccountName: 'nobody' })))
    expect(error).toMatchObject({ code: 403 })
    expect(error.message).toContain('serviceaccount "nobody" not found')
  })

  test('the spec of a pod cannot change under its processes', async () => {
    const error = await refusal(server.api.client.patch(pods, inDefault('plain'), { spec: { restartPolicy: 'Never' } }))
    expect(error.message).toContain('spec: Forbidden: pod updates may not change fields other than')
  })

  test.each([
    [{ containers: [] }, 'spec.containers: Required value'],
    [{ containers: [{ name: 'a' }] }, 'spec.containers[0].image: Required value'],
    [
      { containers: [{ name: 'a', image: 'b', volumeMounts: [{ name: 'v', mountPath: '/x' }] }] },
      'spec.containers[0].volumeMounts[0].name: Not found: "v"',
    ],
    [{ restartPolicy: 'Sometimes' }, 'spec.restartPolicy: Unsupported value: "Sometimes"'],
  ])('the pod %j is refused', async (spec, sentence) => {
    expect((await refusal(server.api.client.create(pods, pod('no', spec)))).message).toContain(sentence)
  })

  test('a wrong type names the field', async () => {
    const error = await refusal(server.api.client.create(pods, pod('no', { terminationGracePeriodSeconds: '5' })))
    expect(error).toMatchObject({ code: 400 })
    expect(error.message).toContain(
      'cannot unmarshal string into Go struct field Pod.spec.terminationGracePeriodSeconds of type integer',
    )
  })

  test('each Service gets an address of its own from the prefix, and keeps it', async () => {
    const { client } = server.api
    const service = (name: string): ObjectInput => ({
      metadata: { name, namespace: 'default' },
      spec: { ports: [{ port: 80 }] },
    })
    const made = await Promise.all(['s1', 's2', 's3'].map((name) => client.create(services, service(name))))
    const addresses = made.map(({ spec }) => (spec as { clusterIP: string }).clusterIP)
    expect(new Set(addresses).size).toBe(3)
    expect(addresses.every((address) => address.startsWith('127.44.5.'))).toBe(true)
    const replaced = await client.update(services, { ...service('s1'), spec: { ports: [{ port: 81 }] } })
    expect(replaced.spec).toMatchObject({ clusterIP: addresses[0], ports: [{ port: 81, targetPort: 81 }] })
  })

  test('every namespace has the default ServiceAccount and the root certificate, also after somebody deletes them', async () => {
    const { client, caPem } = server.api
    await client.create(namespaces, { metadata: { name: 'fresh' } })
    const root = await client.get(configMaps, { namespace: 'fresh', name: 'kube-root-ca.crt' })
    expect(root.data).toEqual({ 'ca.crt': caPem })
    await client.delete(resources.serviceAccounts, { namespace: 'fresh', name: 'default' })
    await vi.waitFor(() => client.get(resources.serviceAccounts, { namespace: 'fresh', name: 'default' }))
  })
})

describe('watching in-process', () => {
  test('listThenWatch gives what exists, then SYNCED, then every change', async () => {
    const { client } = server.api
    const stop = new AbortController()
    await client.create(namespaces, { metadata: { name: 'watched' } })
    const seen: string[] = []
    const running = (async () => {
      const options = { namespace: 'watched', fieldSelector: 'metadata.name!=kube-root-ca.crt', signal: stop.signal }
      for await (const event of client.listThenWatch(configMaps, options)) {
        seen.push(event.type === 'SYNCED' ? 'SYNCED' : `${event.type} ${event.object.metadata.name}`)
      }
    })()
    const at = { namespace: 'watched' }
    await client.create(configMaps, configMap('one', {}, at))
    await client.patch(configMaps, { ...at, name: 'one' }, { data: { a: 'b' } })
    await client.delete(configMaps, { ...at, name: 'one' })
    await vi.waitFor(() => expect(seen).toEqual(['SYNCED', 'ADDED one', 'MODIFIED one', 'DELETED one']))
    stop.abort()
    await running
  })

  test('a watch with a selector sees objects enter and leave it', async () => {
    const { client } = server.api
    const stop = new AbortController()
    const events = client.watch(configMaps, { labelSelector: 'team=a', signal: stop.signal })
    await client.create(configMaps, configMap('member', {}, { labels: { team: 'b' } }))
    await client.patch(configMaps, inDefault('member'), { metadata: { labels: { team: 'a' } } })
    await client.patch(configMaps, inDefault('member'), { metadata: { labels: { team: 'b' } } })
    const seen: string[] = []
    for await (const { type, object } of events) {
      seen.push(`${type} ${object.metadata.labels?.team}`)
      if (seen.length === 2) stop.abort()
    }
    expect(seen).toEqual(['ADDED a', 'DELETED a'])
  })
})
