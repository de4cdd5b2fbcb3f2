import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { issueAuthority, issueCertificate } from '../access/certificates.ts'
import { type ApiServer, type ObjectInput, resources } from '../index.ts'
import { startTestApi, type TestApi } from '../testing.ts'

interface Review {
  request: {
    uid: string
    operation: string
    dryRun: boolean
    subResource?: string
    object: ObjectInput | null
    oldObject: ObjectInput | null
    userInfo: { username: string }
  }
}

let server: TestApi
let webhook: Server
let caBundle: string
let port = 0
let answer: (path: string, review: Review) => object | undefined
let asked: string[] = []

beforeAll(async () => {
  server = await startTestApi()
  const ca = await issueAuthority()
  caBundle = Buffer.from(ca.cert).toString('base64')
  webhook = createServer(await issueCertificate(ca, ['hook.system.svc', '127.0.0.1']), (request, response) => {
    let text = ''
    request.on('data', (chunk) => {
      text += String(chunk)
    })
    request.on('end', () => {
      const review = JSON.parse(text) as Review
      const path = (request.url ?? '').split('?')[0] ?? ''
      asked.push(`${path} ${review.request.operation}${review.request.subResource ?? ''}`)
      const result = answer(path, review)
      if (result) response.end(JSON.stringify({ response: { uid: review.request.uid, ...result } }))
    })
  })
  await new Promise<void>((resolve) => webhook.listen(0, '127.0.0.1', resolve))
  port = (webhook.address() as AddressInfo).port
  server.api.setNodeHooks({
    async *logs() {},
    resolveService: (namespace, name) =>
      namespace === 'system' && name === 'hook' ? { host: '127.0.0.1', port } : undefined,
  })
})
afterAll(async () => {
  webhook.closeAllConnections()
  webhook.close()
  await server.close()
})
beforeEach(() => {
  asked = []
  answer = () => ({ allowed: true })
})
afterEach(async () => {
  for (const resource of [validating, mutating]) {
    for (const { metadata } of (await server.api.client.list(resource)).items) {
      await server.api.client.delete(resource, { name: metadata.name })
    }
  }
  for (const { metadata } of (await client().list(resources.configMaps, { labelSelector: 'tested' })).items) {
    await client().delete(resources.configMaps, { namespace: 'default', name: metadata.name })
  }
})

const validating = resources.validatingWebhookConfigurations
const mutating = resources.mutatingWebhookConfigurations
const client = (): ApiServer['client'] => server.api.client

function hook(path: string, more: object = {}): object {
  return {
    name: `${path.slice(1)}.example.io`,
    sideEffects: 'None',
    admissionReviewVersions: ['v1'],
    clientConfig: { service: { namespace: 'system', name: 'hook', path }, caBundle },
    rules: [{ operations: ['*'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] }],
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'default' } },
    ...more,
  }
}
const configure = (resource: typeof validating | typeof mutating, name: string, ...webhooks: object[]) =>
  client().create(resource, { metadata: { name }, webhooks })
const make = (name: string, data = {}, dryRun = false) =>
  client().create(
    resources.configMaps,
    { metadata: { name, namespace: 'default', labels: { tested: '' } }, data },
    { dryRun },
  )

describe('validating webhooks', () => {
  test('refuse with their own code and sentence, and hear of create, update and delete', async () => {
    await configure(validating, 'v', hook('/judge'))
    answer = (_path, { request }) =>
      request.object && 'bad' in (request.object.data as object)
        ? { allowed: false, status: { code: 403, message: 'no bad keys' } }
        : { allowed: true, warnings: ['looked at'] }
    await expect(make('refused', { bad: '1' })).rejects.toMatchObject({
      code: 403,
      message: 'admission webhook "judge.example.io" denied the request: no bad keys',
    })
    await make('fine')
    await client().patch(resources.configMaps, { namespace: 'default', name: 'fine' }, { data: { ok: '1' } })
    await client().delete(resources.configMaps, { namespace: 'default', name: 'fine' })
    expect(asked).toEqual(['/judge CREATE', '/judge CREATE', '/judge UPDATE', '/judge DELETE'])
  })

  test('are asked in a dry run too, and told so', async () => {
    await configure(validating, 'v', hook('/dry'))
    let dryRun: unknown
    answer = (_path, { request }) => {
      dryRun = request.dryRun
      return { allowed: true }
    }
    await make('dry', {}, true)
    expect(dryRun).toBe(true)
  })

  test('are not asked outside their rules, namespaces and operations', async () => {
    const elsewhere = { matchLabels: { 'kubernetes.io/metadata.name': 'other' } }
    const rules = [{ operations: ['DELETE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] }]
    const objectSelector = { matchExpressions: [{ key: 'special', operator: 'Exists' }] }
    await configure(
      validating,
      'v',
      hook('/elsewhere', { namespaceSelector: elsewhere }),
      hook('/deletes', { rules }),
      hook('/special', { objectSelector }),
    )
    await make('unnoticed')
    expect(asked).toEqual([])
  })

  test('that cannot be reached refuse everything, or nothing, as their failurePolicy says', async () => {
    const nowhere = { clientConfig: { service: { namespace: 'system', name: 'missing' }, caBundle } }
    await configure(validating, 'v', hook('/gone', { ...nowhere, failurePolicy: 'Ignore' }))
    await make('ignored')
    await configure(validating, 'w', hook('/fails', nowhere))
    await expect(make('failed')).rejects.toMatchObject({
      code: 500,
      message: expect.stringContaining('failed calling webhook "fails.example.io"'),
    })
  })

  test('that do not answer in time fail, and those with a wrong certificate too', async () => {
    await configure(validating, 'v', hook('/slow', { timeoutSeconds: 1 }))
    answer = () => undefined
    await expect(make('slow')).rejects.toMatchObject({ message: expect.stringContaining('context deadline exceeded') })
    await client().delete(validating, { name: 'v' })
    const service = { namespace: 'system', name: 'hook', path: '/x' }
    const wrong = Buffer.from(server.api.caPem).toString('base64')
    await configure(validating, 'w', hook('/wrong', { clientConfig: { service, caBundle: wrong } }))
    await expect(make('wrong')).rejects.toMatchObject({ code: 500 })
    expect(asked).toEqual(['/slow CREATE'])
  })

  test('can be reached by URL', async () => {
    await configure(
      validating,
      'v',
      hook('/url', { clientConfig: { url: `https://127.0.0.1:${port}/by-url`, caBundle } }),
    )
    await make('by-url')
    expect(asked).toEqual(['/by-url CREATE'])
  })
})

describe('mutating webhooks', () => {
  const patch = (operations: object[]): object => ({
    allowed: true,
    patchType: 'JSONPatch',
    patch: Buffer.from(JSON.stringify(operations)).toString('base64'),
  })

  test('change the object one after the other, before it is validated', async () => {
    await configure(mutating, 'm', hook('/first'), hook('/second'))
    await configure(validating, 'v', hook('/judge'))
    let judged: unknown
    answer = (path, { request }) => {
      if (path === '/first') return patch([{ op: 'add', path: '/data/first', value: '1' }])
      if (path === '/second') return patch([{ op: 'add', path: '/metadata/labels/second', value: 'saw-it' }])
      judged = request.object
      return { allowed: true }
    }
    const made = await make('mutated', { a: 'b' })
    expect(made).toMatchObject({ data: { a: 'b', first: '1' }, metadata: { labels: { second: 'saw-it' } } })
    expect(judged).toMatchObject({ data: { first: '1' } })
  })

  test('cannot make an object that is not valid', async () => {
    await configure(mutating, 'm', hook('/breaks'))
    answer = () => patch([{ op: 'add', path: '/data/not~1a~1key', value: '1' }])
    await expect(make('broken', { a: 'b' })).rejects.toMatchObject({ code: 422 })
  })
})
