import { request } from 'node:https'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { widgetDefinition } from '../../test/conformance/widget.ts'
import { resources } from './index.ts'
import { startTestApi, type TestApi } from './testing.ts'

let server: TestApi
beforeAll(async () => {
  server = await startTestApi()
  await server.api.client.create(resources.customResourceDefinitions, widgetDefinition)
})
afterAll(() => server.close())

const widgetsPath = '/apis/example.io/v1/namespaces/default/widgets'
const typed = { apiVersion: 'example.io/v1', kind: 'Widget' }
const configMapsPath = '/api/v1/namespaces/default/configmaps'
const post = (path: string, body: unknown, headers = {}) => server.http(path, { method: 'POST', body, headers })

describe('malformed input', () => {
  test('bad JSON is a 400 that says where', async () => {
    const answer = await post(configMapsPath, '{"metadata":\n  {"name": nope}}')
    expect(answer.status).toBe(400)
    expect(answer.json).toMatchObject({ kind: 'Status', reason: 'BadRequest' })
    expect(answer.json.message).toContain('the body is not valid JSON')
    expect(answer.json.message).toMatch(/line/)
  })

  test('bad YAML is a 400 that names the line', async () => {
    const answer = await post(configMapsPath, 'metadata:\n  name: a\n bad\n', { 'Content-Type': 'application/yaml' })
    expect(answer.status).toBe(400)
    expect(answer.json.message).toMatch(/the body is not valid YAML: .*line 3/)
  })

  test('YAML is as good as JSON', async () => {
    const text = 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: from-yaml\ndata:\n  a: "1"\n'
    expect((await post(configMapsPath, text, { 'Content-Type': 'application/yaml' })).status).toBe(201)
  })

  test('ten megabytes are read to their end and answered with 413', async () => {
    const answer = await post(configMapsPath, { metadata: { name: 'big' }, data: { a: 'x'.repeat(10_000_000) } })
    expect(answer.status).toBe(413)
    expect(answer.json.message).toContain('limit is 3145728; data.a alone has 10000000 bytes')
    expect(answer.json.details).toMatchObject({ causes: [{ field: 'data.a' }] })
  })

  test('what kubectl repeats of an object it applies is not named as too large, but its own place', async () => {
    const metadata = {
      name: 'big',
      annotations: { 'kubectl.kubernetes.io/last-applied-configuration': 'x'.repeat(4e6) },
    }
    const list = [{ b: 'a"\\', c: ['', 'x'.repeat(2e6)] }]
    const answer = await post(configMapsPath, { metadata, spec: { list, 'a.b': [[]] } })
    expect(answer.json.message).toContain('; spec.list[0].c[1] alone has 2000000 bytes')
    expect((await post(configMapsPath, '['.repeat(4e6))).json.message).toMatch(/limit is 3145728; keep/)
  })

  test('what fits the body but not an object is refused by its field', async () => {
    const answer = await post(configMapsPath, { metadata: { name: 'big' }, data: { a: 'x'.repeat(1_100_000) } })
    expect(answer.status).toBe(422)
    expect(answer.json.message).toContain('data: Too long')
  })

  test('NUL bytes name their field, raw ones their place', async () => {
    const escaped = await post(widgetsPath, { ...typed, metadata: { name: 'nul' }, spec: { size: 1, owner: 'a\0b' } })
    expect(escaped.status).toBe(400)
    expect(escaped.json.message).toBe('spec.owner: Invalid value: must not contain NUL characters')
    const raw = await post(configMapsPath, '{"metadata":{"name":"n\0l"}}')
    expect(raw.json.message).toContain('the body is not valid JSON')
  })

  test.each([
    ['arrays', `{"metadata":{"name":"deep"},"spec":{"free":{"a":${'['.repeat(500_000)}${']'.repeat(500_000)}}}}`],
    ['objects', `{"metadata":{"name":"deep"},"data":${'{"a":'.repeat(200_000)}1${'}'.repeat(200_000)}}`],
  ])('%s nested half a million deep are refused', async (_what, body) => {
    const answer = await post(widgetsPath, body)
    expect(answer.status).toBe(400)
    expect(answer.json.message).toContain('nests deeper than')
  })

  test('YAML that nests or refers to itself without end is refused', async () => {
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x]',
      ...'bcdefghi'.split('').map((c, i) => {
        const before = 'abcdefghi'[i]
        return `${c}: &${c} [${Array.from({ length: 9 }, () => `*${before}`).join(',')}]`
      }),
    ].join('\n')
    const headers = { 'Content-Type': 'application/yaml' }
    expect((await post(configMapsPath, bomb, headers)).status).toBe(400)
    expect((await post(configMapsPath, '['.repeat(20_000), headers)).status).toBe(400)
  })

  test('a field called __proto__ is refused and poisons nothing', async () => {
    const answer = await post(widgetsPath, '{"metadata":{"name":"p"},"spec":{"size":1,"free":{"__proto__":{"x":1}}}}')
    expect(answer.status).toBe(400)
    const patch = {
      method: 'PATCH',
      body: '{"__proto__":{"polluted":1}}',
      headers: { 'Content-Type': 'application/merge-patch+json' },
    }
    await post(configMapsPath, { metadata: { name: 'victim' } })
    expect((await server.http(`${configMapsPath}/victim`, patch)).status).toBe(400)
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })

  test.each([
    ['/api/v1/nothing', 404],
    ['/apis/none.io/v1/things', 404],
    ['/api/v1/namespaces/default/configmaps?labelSelector=a%20b%20c', 400],
    ['/api/v1/namespaces/default/configmaps?fieldSelector=spec.x%3D1', 400],
    ['/api/v1/namespaces/default/configmaps?limit=-1', 400],
    ['/api/v1/namespaces/default/configmaps?continue=rubbish', 400],
    ['/api/v1/namespaces/default/configmaps?resourceVersion=x', 400],
    ['/api/v1/namespaces/default/configmaps?resourceVersion=999999', 504],
  ])('GET %s is %i with a Status', async (path, status) => {
    const answer = await server.http(path)
    expect(answer.status).toBe(status)
    expect(answer.json).toMatchObject({ kind: 'Status', status: 'Failure', code: status })
  })

  test('OpenAPI v2 is refused in words that kubectl shows', async () => {
    const { status, text } = await server.http('/openapi/v2')
    expect([status, text]).toEqual([415, expect.stringContaining('kubectl api-resources')])
  })

  test('patch types that are not supported say what to use instead', async () => {
    const patch = (path: string, type: string) =>
      server.http(path, { method: 'PATCH', body: '{}', headers: { 'Content-Type': type } })
    const apply = await patch(`${configMapsPath}/any`, 'application/apply-patch+yaml')
    expect([apply.status, apply.json.message]).toEqual([415, expect.stringContaining('kubectl apply')])
    const strategic = await patch(`${widgetsPath}/any`, 'application/strategic-merge-patch+json')
    expect([strategic.status, strategic.json.message]).toEqual([415, expect.stringContaining('--type=merge')])
  })

  test('protobuf of other kinds is a 415 that says what to do', async () => {
    const typeMeta = '\x0a\x02v1\x12\x09Endpoints'
    const body = Buffer.from(`k8s\0\x0a${String.fromCharCode(typeMeta.length)}${typeMeta}`, 'latin1')
    const answer = await post(configMapsPath, body, { 'Content-Type': 'application/vnd.kubernetes.protobuf' })
    expect([answer.status, answer.json.message]).toEqual([415, expect.stringContaining('kubectl apply -f')])
    const damaged = await post(configMapsPath, Buffer.from('k8s\0\x0a\xff\xff'), {
      'Content-Type': 'application/vnd.kubernetes.protobuf',
    })
    expect(damaged.status).toBe(400)
  })

  test('unknown fields are warned about unless they are refused or ignored', async () => {
    const body = (name: string) => ({ ...typed, metadata: { name }, spec: { size: 1, x: { y: 1 } } })
    const warned = await post(widgetsPath, body('warned'))
    expect(warned.headers.warning).toBe('299 - "unknown field \\"spec.x\\""')
    expect((await post(`${widgetsPath}?fieldValidation=Strict`, body('strict'))).status).toBe(400)
    const ignored = await post(`${widgetsPath}?fieldValidation=Ignore`, body('ignored'))
    expect([ignored.status, ignored.headers.warning]).toEqual([201, undefined])
  })
})

describe('who may ask', () => {
  test('without a token only health and version answer', async () => {
    for (const path of ['/healthz', '/readyz', '/livez', '/version']) {
      expect((await server.http(path, { token: null })).status).toBe(200)
    }
    for (const path of ['/api', '/apis', '/openapi/v3', configMapsPath, '/api/v1/secrets', '/nothing']) {
      const answer = await server.http(path, { token: null })
      expect([path, answer.status, answer.json.reason]).toEqual([path, 401, 'Unauthorized'])
    }
  })

  test('a token that is not ours is refused, also where none would be needed', async () => {
    expect((await server.http('/version', { token: 'wrong' })).status).toBe(401)
    expect((await server.http('/version', { headers: { Authorization: 'Basic abc' } })).status).toBe(401)
  })
})

describe('lists', () => {
  test('come in pages that together are the whole', async () => {
    for (const i of [1, 2, 3, 4, 5])
      await post(configMapsPath, { metadata: { name: `page-${i}`, labels: { paged: 'yes' } } })
    const names: unknown[] = []
    let next: string | undefined
    let revision: unknown
    do {
      const answer = await server.http(
        `${configMapsPath}?limit=2&labelSelector=paged${next ? `&continue=${next}` : ''}`,
      )
      const metadata = answer.json.metadata as { continue?: string; resourceVersion: string }
      revision ??= metadata.resourceVersion
      expect(metadata.resourceVersion).toBe(revision)
      names.push(...(answer.json.items as { metadata: { name: string } }[]).map((item) => item.metadata.name))
      next = metadata.continue
      await post(configMapsPath, { metadata: { name: `between-${names.length}` } })
    } while (next)
    expect(names).toEqual(['page-1', 'page-2', 'page-3', 'page-4', 'page-5'])
  })

  test('are tables for people', async () => {
    await post(widgetsPath, { ...typed, metadata: { name: 'shown' }, spec: { size: 4 } })
    const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json'
    const { json } = await server.http(`${widgetsPath}?fieldSelector=metadata.name%3Dshown`, {
      headers: { Accept: accept },
    })
    expect(json.kind).toBe('Table')
    const columns = (json.columnDefinitions as { name: string }[]).map(({ name }) => name)
    expect(columns).toEqual(['Name', 'Size', 'Phase', 'Ready', 'Age'])
    expect(json.rows).toMatchObject([
      { cells: ['shown', 4, null, null, expect.any(String)], object: { kind: 'PartialObjectMetadata' } },
    ])
  })

  test('are metadata alone for those who ask for that', async () => {
    const headers = { Accept: 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io' }
    const { json } = await server.http(widgetsPath, { headers })
    expect(json.kind).toBe('PartialObjectMetadataList')
    expect(JSON.stringify(json.items)).not.toContain('spec')
  })

  test('a client that takes only protobuf is told 406', async () => {
    const answer = await server.http(configMapsPath, { headers: { Accept: 'application/vnd.kubernetes.protobuf' } })
    expect(answer.status).toBe(406)
  })
})

describe('watches', () => {
  const lines = async (path: string) =>
    (await server.http(path)).text
      .split('\n')
      .filter(Boolean)
      .map(
        (line) =>
          JSON.parse(line) as { type: string; object: { metadata: { name?: string; resourceVersion: string } } },
      )

  test('resume after a revision, and end when their time is up, with a bookmark', async () => {
    const first = await post(configMapsPath, { metadata: { name: 'w1', labels: { w: '1' } } })
    const { resourceVersion } = first.json.metadata as { resourceVersion: string }
    await post(configMapsPath, { metadata: { name: 'w2', labels: { w: '1' } } })
    await server.http(`${configMapsPath}/w2`, { method: 'DELETE' })
    const query = `watch=1&labelSelector=w&resourceVersion=${resourceVersion}&timeoutSeconds=1&allowWatchBookmarks=true`
    const events = await lines(`${configMapsPath}?${query}`)
    expect(events.map(({ type, object }) => [type, object.metadata.name])).toEqual([
      ['ADDED', 'w2'],
      ['DELETED', 'w2'],
      ['BOOKMARK', undefined],
    ])
    const revisions = events.map(({ object }) => Number(object.metadata.resourceVersion))
    expect(revisions).toEqual(revisions.toSorted((a, b) => a - b))
  })

  test('from nowhere begin with what exists', async () => {
    const events = await lines(`${configMapsPath}?watch=1&fieldSelector=metadata.name%3Dw1&timeoutSeconds=1`)
    expect(events.map(({ type, object }) => [type, object.metadata.name])).toEqual([['ADDED', 'w1']])
  })

  test('with sendInitialEvents mark the end of the beginning', async () => {
    const query =
      'watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1'
    const events = await lines(`${configMapsPath}?${query}&fieldSelector=metadata.name%3Dw1`)
    expect(events.slice(0, 2)).toMatchObject([
      { type: 'ADDED' },
      { type: 'BOOKMARK', object: { metadata: { annotations: { 'k8s.io/initial-events-end': 'true' } } } },
    ])
  })

  test('from the future are told 410 in an ERROR event, so that the client lists again', async () => {
    const events = await lines(`${configMapsPath}?watch=1&resourceVersion=99999999`)
    expect(events).toMatchObject([{ type: 'ERROR', object: { code: 410, reason: 'Expired' } }])
  })

  test('end with the server', async () => {
    const other = await startTestApi()
    const ended = new Promise<void>((resolve, reject) => {
      const headers = { Authorization: `Bearer ${other.api.adminToken}` }
      const outgoing = request(`${other.api.url}/api/v1/pods?watch=1`, { headers, ca: other.api.caPem }, (response) => {
        response.resume().on('end', resolve)
        void other.close()
      })
      outgoing.on('error', reject).end()
    })
    await ended
  })
})
