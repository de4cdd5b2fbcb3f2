import { beforeAll, describe, expect, test } from 'vitest'
import type { Cluster } from './cluster.ts'

const maps = '/api/v1/namespaces/writes/configmaps'
const deployments = '/apis/apps/v1/namespaces/writes/deployments'

/** Creating, replacing and patching objects of built-in kinds. */
export function writes(cluster: Cluster): void {
  describe('writing', () => {
    beforeAll(() => cluster.makeNamespace('writes'))

    test('a created object has uid, resourceVersion and time', async () => {
      const { status, json } = await cluster.post(maps, { metadata: { name: 'born' }, data: { a: '1' } })
      expect(status).toBe(201)
      expect(json).toMatchObject({ apiVersion: 'v1', kind: 'ConfigMap', data: { a: '1' } })
      expect(json.metadata).toMatchObject({ name: 'born', namespace: 'writes', resourceVersion: expect.any(String) })
      expect(json.metadata.uid).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
      expect(json.metadata.creationTimestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    })

    test('generateName is completed by five characters', async () => {
      const { json } = await cluster.post(maps, { metadata: { generateName: 'many-' } })
      expect(json.metadata).toMatchObject({ generateName: 'many-', name: expect.stringMatching(/^many-[a-z0-9]{5}$/) })
    })

    test('a namesake is AlreadyExists', async () => {
      await cluster.make(maps, { metadata: { name: 'twin' } })
      const { json } = await cluster.post(maps, { metadata: { name: 'twin' } })
      expect(json).toEqual({
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        status: 'Failure',
        message: 'configmaps "twin" already exists',
        reason: 'AlreadyExists',
        details: { name: 'twin', kind: 'configmaps' },
        code: 409,
      })
    })

    test('what is not there is NotFound, for every verb', async () => {
      const expected = {
        code: 404,
        reason: 'NotFound',
        message: 'configmaps "none" not found',
        details: { name: 'none', kind: 'configmaps' },
      }
      expect((await cluster.get(`${maps}/none`)).json).toMatchObject(expected)
      expect((await cluster.delete(`${maps}/none`)).json).toMatchObject(expected)
      expect((await cluster.patch(`${maps}/none`, 'merge', {})).json).toMatchObject(expected)
    })

    test.each([
      ['GET', '/api/v1/nothing', undefined, 404, 'the server could not find the requested resource'],
      ['GET', '/apis/none.example.io/v1/things', undefined, 404, ''],
      [
        'POST',
        '/api/v1/namespaces/nowhere/configmaps',
        { metadata: { name: 'a' } },
        404,
        'namespaces "nowhere" not found',
      ],
      [
        'POST',
        maps,
        { metadata: { name: 'a', namespace: 'other' } },
        400,
        'the namespace of the provided object does not match the namespace sent on the request',
      ],
      ['POST', maps, { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' } }, 400, 'ConfigMap'],
      ['POST', maps, {}, 422, 'name or generateName is required'],
      [
        'POST',
        maps,
        { metadata: { name: 'Not_OK' } },
        422,
        'ConfigMap "Not_OK" is invalid: metadata.name: Invalid value: "Not_OK": a lowercase RFC 1123 subdomain must consist of',
      ],
      [
        'POST',
        maps,
        { metadata: { name: 'ok', labels: { 'a b': 'c' } } },
        422,
        'ConfigMap "ok" is invalid: metadata.labels: Invalid value: "a b": name part must consist of',
      ],
      [
        'POST',
        maps,
        { metadata: { name: 'ok' }, data: { 'a/b': 'c' } },
        422,
        'ConfigMap "ok" is invalid: data[a/b]: Invalid value: "a/b": a valid config key must consist of',
      ],
      [
        'POST',
        maps,
        { metadata: { name: 'ok' }, data: { a: 1 } },
        400,
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data',
      ],
      [
        'POST',
        `${maps}?fieldValidation=Strict`,
        { metadata: { name: 'ok' }, dada: {} },
        400,
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "dada"',
      ],
    ])('%s %s %j is refused with %i', async (method, path, body, code, message) => {
      const answer = await cluster.send(method, path, body)
      expect(answer.status).toBe(code)
      expect(answer.json?.message ?? answer.text).toContain(message)
    })

    test('an unknown field is warned about unless the client says otherwise', async () => {
      const path = (mode: string) => `${maps}?dryRun=All${mode}`
      const body = { metadata: { name: 'warned' }, dada: {} }
      const warned = await cluster.post(path(''), body)
      expect([warned.status, warned.headers.warning]).toEqual([201, '299 - "unknown field \\"dada\\""'])
      const ignored = await cluster.post(path('&fieldValidation=Ignore'), body)
      expect([ignored.status, ignored.headers.warning]).toEqual([201, undefined])
    })

    test('a PUT with an old resourceVersion is a conflict, and one without replaces', async () => {
      const first = await cluster.make(maps, { metadata: { name: 'versions' }, data: { a: '1' } })
      const second = await cluster.put(`${maps}/versions`, { metadata: { name: 'versions' }, data: { a: '2' } })
      expect([second.status, second.json.data]).toEqual([200, { a: '2' }])
      const stale = await cluster.put(`${maps}/versions`, { ...first, data: { a: '3' } })
      expect(stale.json).toMatchObject({
        code: 409,
        reason: 'Conflict',
        message:
          'Operation cannot be fulfilled on configmaps "versions": the object has been modified; please apply your changes to the latest version and try again',
        details: { name: 'versions', kind: 'configmaps' },
      })
      const patch = { metadata: { resourceVersion: first.metadata.resourceVersion }, data: { a: '3' } }
      expect((await cluster.patch(`${maps}/versions`, 'merge', patch)).json).toMatchObject({ code: 409 })
    })

    test('a PUT that names another uid or another name is refused', async () => {
      await cluster.make(maps, { metadata: { name: 'identity' } })
      const uid = '00000000-0000-0000-0000-000000000000'
      const other = await cluster.put(`${maps}/identity`, { metadata: { name: 'identity', uid } })
      expect(other.json).toMatchObject({ code: 409, reason: 'Conflict' })
      expect(other.json.message).toContain(`Precondition failed: UID in precondition: ${uid}, UID in object meta: `)
      const renamed = await cluster.put(`${maps}/identity`, { metadata: { name: 'renamed' } })
      expect(renamed.json).toMatchObject({
        code: 400,
        message: 'the name of the object (renamed) does not match the name on the URL (identity)',
      })
    })

    test('a write that changes nothing makes no revision', async () => {
      const first = await cluster.make(maps, { metadata: { name: 'same' }, data: { a: '1' } })
      const second = await cluster.patch(`${maps}/same`, 'merge', { data: { a: '1' } })
      expect(second.json.metadata.resourceVersion).toBe(first.metadata.resourceVersion)
      const third = await cluster.put(`${maps}/same`, { metadata: { name: 'same' }, data: { a: '1' } })
      expect(third.json.metadata.resourceVersion).toBe(first.metadata.resourceVersion)
    })

    test('a merge patch removes with null and replaces lists', async () => {
      await cluster.make(maps, { metadata: { name: 'merged', labels: { x: 'y' } }, data: { a: '1', b: '2' } })
      const { json } = await cluster.patch(`${maps}/merged`, 'merge', {
        metadata: { labels: null },
        data: { a: null, c: '3' },
      })
      expect(json.data).toEqual({ b: '2', c: '3' })
      expect(json.metadata.labels).toBeUndefined()
    })

    test('a JSON patch tests, adds, removes, and refuses what does not fit', async () => {
      await cluster.make(maps, { metadata: { name: 'json', annotations: { 'x/y': '2' } }, data: { a: '1' } })
      const patch = (operations: object[]) => cluster.patch(`${maps}/json`, 'json', operations)
      const done = await patch([
        { op: 'test', path: '/data/a', value: '1' },
        { op: 'add', path: '/data/b', value: '2' },
        { op: 'remove', path: '/metadata/annotations/x~1y' },
      ])
      expect([done.json.data, done.json.metadata.annotations]).toEqual([{ a: '1', b: '2' }, undefined])
      const failed = await patch([{ op: 'test', path: '/data/a', value: '9' }])
      expect([failed.status, failed.json.reason]).toEqual([422, 'Invalid'])
      const missing = await patch([{ op: 'remove', path: '/data/none' }])
      expect([missing.status, missing.json.reason]).toEqual([422, 'Invalid'])
      expect((await patch([{ op: 'nonsense', path: '/data/a' }])).status).toBe(422)
      expect((await cluster.patch(`${maps}/json`, 'json', '{"op":"add"}')).status).toBe(400)
    })

    test('a strategic merge patch joins lists by their keys, deletes and replaces on request', async () => {
      const container = (name: string, image: string, env: object[] = []) => ({ name, image, env })
      await cluster.make(deployments, {
        metadata: { name: 'web' },
        spec: {
          selector: { matchLabels: { app: 'web' } },
          template: {
            metadata: { labels: { app: 'web' } },
            spec: { containers: [container('a', 'a:1', [{ name: 'X', value: '1' }]), container('b', 'b:1')] },
          },
        },
      })
      const patch = async (spec: object) =>
        (await cluster.patch(`${deployments}/web`, 'strategic', { spec: { template: { spec } } })).json.spec.template
          .spec
      const joined = await patch({ containers: [container('a', 'a:2', [{ name: 'Y', value: '2' }])] })
      expect(joined.containers).toMatchObject([
        { name: 'a', image: 'a:2', env: [{ name: 'Y' }, { name: 'X' }] },
        { name: 'b', image: 'b:1' },
      ])
      const fewer = await patch({ containers: [{ name: 'b', $patch: 'delete' }] })
      expect(fewer.containers.map(({ name }: { name: string }) => name)).toEqual(['a'])
      const replaced = await patch({ containers: [{ $patch: 'replace' }, container('c', 'c:1')] })
      expect(replaced.containers.map(({ name }: { name: string }) => name)).toEqual(['c'])
    })

    test('built-in kinds get their defaults', async () => {
      const { json } = await cluster.get(`${deployments}/web`)
      expect(json.metadata.generation).toBeGreaterThan(1)
      expect(json.spec).toMatchObject({
        replicas: 1,
        revisionHistoryLimit: 10,
        progressDeadlineSeconds: 600,
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' } },
        template: {
          spec: {
            restartPolicy: 'Always',
            terminationGracePeriodSeconds: 30,
            dnsPolicy: 'ClusterFirst',
            schedulerName: 'default-scheduler',
            securityContext: {},
            containers: [
              {
                imagePullPolicy: 'IfNotPresent',
                terminationMessagePath: '/dev/termination-log',
                terminationMessagePolicy: 'File',
                resources: {},
              },
            ],
          },
        },
      })
    })

    test('a Job gets its selector and labels, and its template never changes', async () => {
      const jobs = '/apis/batch/v1/namespaces/writes/jobs'
      const template = { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'c:1' }] } }
      const job = await cluster.make(jobs, { metadata: { name: 'once' }, spec: { suspend: true, template } })
      const labels = {
        'batch.kubernetes.io/controller-uid': job.metadata.uid,
        'batch.kubernetes.io/job-name': 'once',
        'controller-uid': job.metadata.uid,
        'job-name': 'once',
      }
      expect(job.spec).toMatchObject({
        backoffLimit: 6,
        completions: 1,
        parallelism: 1,
        completionMode: 'NonIndexed',
        podReplacementPolicy: 'TerminatingOrFailed',
        selector: { matchLabels: { 'batch.kubernetes.io/controller-uid': job.metadata.uid } },
        template: { metadata: { labels } },
      })
      const changed = await cluster.patch(`${jobs}/once`, 'strategic', {
        spec: { template: { spec: { containers: [{ name: 'c', image: 'c:2' }] } } },
      })
      expect([changed.status, changed.json.message]).toEqual([422, expect.stringContaining('field is immutable')])
    })

    test('a Secret takes stringData and gives back base64', async () => {
      const path = '/api/v1/namespaces/writes/secrets'
      const made = await cluster.make(path, { metadata: { name: 's' }, stringData: { key: 'value' } })
      expect([made.type, made.data, made.stringData]).toEqual(['Opaque', { key: 'dmFsdWU=' }, undefined])
      const immutable = await cluster.patch(`${path}/s`, 'merge', { type: 'other' })
      expect(immutable.json.message).toBe('Secret "s" is invalid: type: Invalid value: "other": field is immutable')
    })

    test('an immutable ConfigMap stays as it is', async () => {
      await cluster.make(maps, { metadata: { name: 'fixed' }, immutable: true, data: { a: '1' } })
      const { json } = await cluster.patch(`${maps}/fixed`, 'merge', { data: { a: '2' } })
      expect(json).toMatchObject({
        code: 422,
        message: 'ConfigMap "fixed" is invalid: data: Forbidden: field is immutable when `immutable` is set',
      })
    })

    test('a dry run does everything but store', async () => {
      const dry = await cluster.post(`${maps}?dryRun=All`, { metadata: { name: 'ghost' } })
      expect([dry.status, dry.json.metadata.uid]).toEqual([201, expect.any(String)])
      expect((await cluster.get(`${maps}/ghost`)).status).toBe(404)
      await cluster.make(maps, { metadata: { name: 'solid' }, data: { a: '1' } })
      expect((await cluster.patch(`${maps}/solid?dryRun=All`, 'merge', { data: { a: '2' } })).json.data.a).toBe('2')
      expect((await cluster.delete(`${maps}/solid?dryRun=All`)).status).toBe(200)
      expect((await cluster.get(`${maps}/solid`)).json.data.a).toBe('1')
      const wrong = await cluster.post(`${maps}?dryRun=Some`, { metadata: { name: 'ghost' } })
      expect(wrong.status).toBe(422)
    })

    test('concurrent patches of one object all land', async () => {
      await cluster.make(maps, { metadata: { name: 'busy' } })
      const patch = (i: number) => cluster.patch(`${maps}/busy`, 'merge', { data: { [`k${i}`]: 'x' } })
      const answers = await Promise.all([1, 2, 3, 4, 5].map(patch))
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
      expect(Object.keys((await cluster.get(`${maps}/busy`)).json.data)).toHaveLength(5)
    })
  })
}
