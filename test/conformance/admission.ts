import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { issueAuthority, issueCertificate } from '../../localkube/api/access/certificates.ts'
import type { Cluster, Json } from './cluster.ts'

const configurations = '/apis/admissionregistration.k8s.io/v1'
const maps = '/api/v1/namespaces/admission/configmaps'

/** Webhooks that are called by URL, as those of programs beside the cluster are. */
export function admission(cluster: Cluster): void {
  describe('admission webhooks', () => {
    let webhook: Server
    let caBundle = ''
    let url = ''
    let answer: (review: Json, path: string) => object
    const asked: Json[] = []

    beforeAll(async () => {
      await cluster.makeNamespace('admission')
      const ca = await issueAuthority()
      caBundle = Buffer.from(ca.cert).toString('base64')
      webhook = createServer(await issueCertificate(ca, ['127.0.0.1']), (request, response) => {
        let text = ''
        request.on('data', (chunk) => {
          text += String(chunk)
        })
        request.on('end', () => {
          const review = JSON.parse(text) as Json
          asked.push(review)
          const path = (request.url ?? '').split('?')[0] ?? ''
          const result = { uid: review.request.uid, ...answer(review, path) }
          response.setHeader('Content-Type', 'application/json')
          response.end(JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: result }))
        })
      })
      await new Promise<void>((resolve) => webhook.listen(0, '127.0.0.1', resolve))
      url = `https://127.0.0.1:${(webhook.address() as AddressInfo).port}/judge`
    })
    afterAll(() => {
      webhook.closeAllConnections()
      webhook.close()
    })
    afterEach(async () => {
      for (const kind of ['validatingwebhookconfigurations', 'mutatingwebhookconfigurations']) {
        await cluster.delete(`${configurations}/${kind}?labelSelector=conformance`)
      }
    })

    const hook = (more: object = {}) => ({
      name: 'judge.example.io',
      sideEffects: 'None',
      admissionReviewVersions: ['v1'],
      clientConfig: { url, caBundle },
      rules: [{ operations: ['*'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] }],
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'admission' } },
      objectSelector: { matchLabels: { judged: 'yes' } },
      ...more,
    })
    const configMap = (name: string, data: object = {}) => ({ metadata: { name, labels: { judged: 'yes' } }, data })
    const dry = (name: string, data: object = {}) => cluster.post(`${maps}?dryRun=All`, configMap(name, data))
    const configure = (kind: string, name: string, ...webhooks: object[]) =>
      cluster.make(`${configurations}/${kind}webhookconfigurations`, {
        metadata: { name, labels: { conformance: 'yes' } },
        webhooks,
      })
    /** Servers follow the configurations with a delay, so the first answers may come without the webhook. */
    const settled = async (isThere: () => Promise<boolean>) => {
      await expect.poll(isThere, { timeout: 20_000 }).toBe(true)
      asked.length = 0
    }

    test('a configuration gets its defaults', async () => {
      const made = await configure('validating', 'defaults', hook({ namespaceSelector: undefined, rules: [] }))
      expect(made.webhooks[0]).toMatchObject({
        failurePolicy: 'Fail',
        matchPolicy: 'Equivalent',
        timeoutSeconds: 10,
        namespaceSelector: {},
      })
      const bad = await cluster.post(`${configurations}/validatingwebhookconfigurations`, {
        metadata: { name: 'bad' },
        webhooks: [hook({ clientConfig: { url: 'http://127.0.0.1/x' }, sideEffects: 'Some' })],
      })
      expect(bad.json.message).toContain(
        'clientConfig.url: Invalid value: "http": \'https\' is the only allowed URL scheme',
      )
      expect(bad.json.message).toContain(
        'sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"',
      )
    })

    test('a validating webhook hears of create, update and delete, and refuses in its own words', async () => {
      answer = ({ request }) =>
        'bad' in (request.object?.data ?? {})
          ? { allowed: false, status: { code: 403, message: 'no bad keys' } }
          : { allowed: true, warnings: ['looked at'] }
      await configure('validating', 'v', hook())
      await settled(async () => (await dry('refused', { bad: '1' })).status === 403)
      const refused = await cluster.post(maps, configMap('refused', { bad: '1' }))
      expect(refused.json).toMatchObject({
        kind: 'Status',
        code: 403,
        message: 'admission webhook "judge.example.io" denied the request: no bad keys',
      })
      const made = await cluster.post(maps, configMap('fine'))
      expect([made.status, made.headers.warning]).toEqual([201, '299 - "looked at"'])
      await cluster.patch(`${maps}/fine`, 'merge', { data: { ok: '1' } })
      await cluster.delete(`${maps}/fine`)
      expect(asked.map(({ request }) => request.operation)).toEqual(['CREATE', 'CREATE', 'UPDATE', 'DELETE'])
      const [, create, update, remove] = asked.map(({ request }) => request)
      expect(create).toMatchObject({
        kind: { group: '', version: 'v1', kind: 'ConfigMap' },
        resource: { group: '', version: 'v1', resource: 'configmaps' },
        requestKind: { group: '', version: 'v1', kind: 'ConfigMap' },
        name: 'fine',
        namespace: 'admission',
        userInfo: { username: 'kubernetes-admin', groups: ['system:masters', 'system:authenticated'] },
        object: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'fine', uid: expect.any(String) } },
        oldObject: null,
        dryRun: false,
        options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1' },
      })
      expect(update).toMatchObject({ object: { data: { ok: '1' } }, oldObject: { metadata: { name: 'fine' } } })
      expect(update.options.kind).toBe('UpdateOptions')
      expect(remove).toMatchObject({
        object: null,
        oldObject: { data: { ok: '1' } },
        options: { kind: 'DeleteOptions' },
      })
    })

    test('a refusal without a code is 403 Forbidden, or what it says', async () => {
      answer = ({ request }) =>
        request.name === 'bare'
          ? { allowed: false }
          : { allowed: false, status: { code: 422, reason: 'Invalid', message: 'm' } }
      await configure('validating', 'v', hook())
      await settled(async () => (await dry('bare')).status !== 201)
      expect((await dry('bare')).json).toMatchObject({
        code: 400,
        message: 'admission webhook "judge.example.io" denied the request without explanation',
      })
      expect((await dry('coded')).json).toMatchObject({ code: 422, reason: 'Invalid' })
    })

    test('a dry run is told to be one', async () => {
      answer = () => ({ allowed: true })
      await configure('validating', 'v', hook())
      await settled(async () => (await dry('dry')).status === 201 && asked.length > 0)
      await dry('dry')
      expect(asked[0].request.dryRun).toBe(true)
    })

    const patch = (operations: object[]) => ({
      allowed: true,
      patchType: 'JSONPatch',
      patch: Buffer.from(JSON.stringify(operations)).toString('base64'),
    })

    test('a mutating webhook changes the object before it is judged and validated', async () => {
      answer = ({ request }) =>
        request.name === 'broken'
          ? patch([{ op: 'add', path: '/data', value: { 'not/a/key': '1' } }])
          : patch([{ op: 'add', path: '/metadata/labels/seen', value: 'yes' }])
      await configure('mutating', 'm', hook({ reinvocationPolicy: 'Never' }))
      await settled(async () => (await dry('mutated')).json.metadata?.labels?.seen === 'yes')
      const { json } = await cluster.post(maps, configMap('mutated'))
      expect(json.metadata.labels).toEqual({ judged: 'yes', seen: 'yes' })
      const broken = await cluster.post(maps, configMap('broken'))
      expect(broken.json).toMatchObject({ code: 422, reason: 'Invalid' })
    })

    test('a mutating webhook may refuse, and what it answers must be a patch that fits', async () => {
      answer = ({ request }) =>
        request.name === 'unfit'
          ? patch([{ op: 'replace', path: '/not/there', value: 1 }])
          : {
              allowed: false,
              status: { code: 403, reason: 'Forbidden', message: 'claimed', details: { causes: [{ field: 'f' }] } },
            }
      await configure('mutating', 'm', hook())
      await settled(async () => (await dry('refused')).status === 403)
      expect((await dry('refused')).json).toMatchObject({
        code: 403,
        reason: 'Forbidden',
        message: 'admission webhook "judge.example.io" denied the request: claimed',
        details: { causes: [{ field: 'f' }] },
      })
      expect((await dry('unfit')).json).toMatchObject({ code: 500, reason: 'InternalError' })
    })

    test('a custom resource is changed after its defaults, then held to its schema, then judged; on creation alone', async () => {
      const widgets = '/apis/example.io/v1/namespaces/admission/widgets'
      const widget = (name: string) => ({
        apiVersion: 'example.io/v1',
        kind: 'Widget',
        metadata: { name, labels: { judged: 'yes' } },
        spec: { size: 3 },
      })
      const heard: string[] = []
      answer = ({ request }, path) => {
        heard.push(`${path} ${request.operation} ${JSON.stringify(request.object?.spec ?? null)}`)
        if (path === '/judge') return { allowed: true }
        const size = request.name === 'large' ? 50 : 4
        return patch([
          { op: 'add', path: '/spec/size', value: size },
          { op: 'remove', path: '/spec/color' },
          { op: 'add', path: '/spec/owner', value: request.userInfo.username },
          { op: 'add', path: '/spec/unknown', value: 'x' },
          { op: 'add', path: '/metadata/labels/example.io~1size', value: String(size) },
        ])
      }
      const rule = { apiGroups: ['example.io'], apiVersions: ['v1'], resources: ['widgets'], scope: 'Namespaced' }
      const change = { url: url.replace('/judge', '/change'), caBundle }
      await configure('mutating', 'm', hook({ clientConfig: change, rules: [{ ...rule, operations: ['CREATE'] }] }))
      await configure('validating', 'v', hook({ rules: [{ ...rule, operations: ['CREATE', 'UPDATE'] }] }))
      const both = async () => {
        heard.length = 0
        await cluster.post(`${widgets}?dryRun=All`, widget('settling'))
        return heard.length === 2
      }
      await settled(both)
      heard.length = 0
      const { json } = await cluster.post(widgets, widget('w'))
      const spec = { size: 4, color: 'red', owner: 'kubernetes-admin' }
      expect(json.spec).toEqual(spec)
      expect(json.metadata.labels).toEqual({ judged: 'yes', 'example.io/size': '4' })
      const large = await cluster.post(widgets, widget('large'))
      expect(large.json).toMatchObject({ code: 422, reason: 'Invalid' })
      expect(large.json.message).toContain('spec.size: Invalid value: 50')
      await cluster.patch(`${widgets}/w`, 'merge', { spec: { color: 'blue' } })
      expect(heard.map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
        '/change CREATE',
        '/judge CREATE',
        '/change CREATE',
        '/judge UPDATE',
      ])
      expect(JSON.parse(heard[0]?.split(' ')[2] ?? '')).toEqual({ size: 3, color: 'red' })
      // What no schema knows is seen by who judges, and gone when it is stored.
      expect(JSON.parse(heard[1]?.split(' ')[2] ?? '')).toEqual({ ...spec, unknown: 'x' })
    })

    test('a configuration can be patched on condition of its version', async () => {
      const { metadata } = await configure('mutating', 'm', hook({ objectSelector: { matchLabels: { no: 'body' } } }))
      const path = `${configurations}/mutatingwebhookconfigurations/m`
      const inject = (resourceVersion: string) =>
        cluster.patch(path, 'json', [
          { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion },
          {
            op: 'add',
            path: '/webhooks/0/clientConfig/caBundle',
            value: Buffer.from(resourceVersion).toString('base64'),
          },
        ])
      expect((await inject('1')).status).toBe(422)
      expect((await inject(metadata.resourceVersion)).status).toBe(200)
      expect((await inject(metadata.resourceVersion)).status).toBe(422)
    })

    test('who cannot be reached refuses everything, or nothing, as its failurePolicy says', async () => {
      const nowhere = { clientConfig: { url: 'https://127.0.0.1:1/gone', caBundle } }
      await configure(
        'validating',
        'ignored',
        hook({ ...nowhere, failurePolicy: 'Ignore', name: 'ignored.example.io' }),
      )
      await configure('validating', 'fails', hook({ ...nowhere, name: 'fails.example.io' }))
      await settled(async () => (await dry('failed')).status !== 201)
      const { json } = await dry('failed')
      expect(json).toMatchObject({ code: 500, reason: 'InternalError' })
      expect(json.message).toMatch(
        /^Internal error occurred: failed calling webhook "fails\.example\.io": failed to call webhook: Post "https:\/\/127\.0\.0\.1:1\/gone\?timeout=10s": /,
      )
    })

    test('a certificate of another authority is not trusted', async () => {
      const other = Buffer.from((await issueAuthority()).cert).toString('base64')
      await configure('validating', 'v', hook({ clientConfig: { url, caBundle: other } }))
      await settled(async () => (await dry('distrusted')).status !== 201)
      expect((await dry('distrusted')).json).toMatchObject({ code: 500, reason: 'InternalError' })
      expect(asked).toEqual([])
    })

    test('who is not concerned is not asked', async () => {
      answer = () => ({ allowed: false, status: { code: 403, message: 'never' } })
      const elsewhere = { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'other' } } }
      const deletes = {
        rules: [{ operations: ['DELETE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] }],
      }
      const objectSelector = { matchLabels: { judged: 'no' } }
      await configure(
        'validating',
        'v',
        ...[elsewhere, deletes, { objectSelector }].map((more, i) => hook({ ...more, name: `h${i}.example.io` })),
        hook({ name: 'canary.example.io', objectSelector: { matchLabels: { canary: 'yes' } } }),
      )
      const canary = { metadata: { name: 'canary', labels: { canary: 'yes' } } }
      await settled(async () => (await cluster.post(`${maps}?dryRun=All`, canary)).status === 403)
      expect((await dry('unnoticed')).status).toBe(201)
      expect(asked).toEqual([])
    })
  })
}
