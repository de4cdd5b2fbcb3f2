import { pino } from 'pino'
import { beforeEach, describe, expect, test } from 'vitest'
import { ClawError } from '#core/errors'
import { webhookApp } from './app.ts'

const demo = { provider: 'demo', name: 'demo' }
const claude = { provider: 'anthropic', name: 'claude' }
const instance = (spec: object = {}) => ({
  apiVersion: 'k8sclaw.io/v1alpha1',
  kind: 'ClawInstance',
  metadata: { name: 'desk', namespace: 'team' },
  spec: { agents: { default: { model: demo, timeout: '10m' } }, maxConcurrentRuns: 5, ...spec },
})

const ann = { username: 'ann', groups: ['staff'] }
const controller = { username: 'system:serviceaccount:k8sclaw-system:k8sclaw-controller' }
const instanceLabel = 'k8sclaw.io/instance'

let objects: Map<string, object>
let rights: Set<string>
let apiAway = false
let writer: object = ann
beforeEach(() => {
  objects = new Map([['team/clawinstances/desk', instance()]])
  rights = new Set()
  apiAway = false
  writer = ann
})

const app = webhookApp({
  // The API server as admission sees it: objects by address, and rights as `user verb resource/name`.
  lookups: {
    find: async (resource, { name, namespace }) => {
      if (apiAway) throw new ClawError('unavailable', 'connection refused')
      return objects.get(`${namespace}/${resource.plural}/${name}`) as never
    },
    list: async (resource, { namespace, labelSelector } = {}) => {
      const [, label] = labelSelector?.match(/^k8sclaw\.io\/instance=(.*)$/) ?? []
      const items = [...objects].flatMap(([key, object]) => {
        const { metadata } = object as { metadata: { labels?: Record<string, string> } }
        return key.startsWith(`${namespace}/${resource.plural}/`) && metadata.labels?.[instanceLabel] === label
          ? [object]
          : []
      })
      return { items: items as never[], resourceVersion: '1' }
    },
    subjectAccessReview: async ({ user, groups, verb, resource, namespace, name }) =>
      [user, ...(groups ?? [])].some((who) => rights.has(`${who} ${verb} ${namespace}/${resource.plural}/${name}`)),
  },
  systemNamespace: 'k8sclaw-system',
  platform: { isolation: 'none', allowUnconfined: false, images: { agent: 'a', sandbox: 's' } },
  isReady: () => true,
  log: pino({ level: 'silent' }),
})

const post = (path: string, body: unknown) =>
  app.request(path, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) })

interface Response {
  uid: string
  allowed: boolean
  status?: { code: number; reason: string; message: string; details?: { causes: { field: string }[] } }
  patchType?: string
  patch?: string
}

async function ask(path: string, operation: string, object: unknown, oldObject: unknown = null): Promise<Response> {
  const answer = await post(path, {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: { uid: 'u-1', operation, namespace: 'team', name: 'x', userInfo: writer, object, oldObject },
  })
  expect(answer.status).toBe(200)
  const body = (await answer.json()) as { apiVersion: string; kind: string; response: Response }
  expect(body).toMatchObject({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: { uid: 'u-1' } })
  return body.response
}

const labelled = { name: 'x', labels: { [instanceLabel]: 'desk' } }

/** An object of the test's namespace, created, or changed from one with the spec `before`. */
async function review(plural: string, spec: unknown, before?: unknown): Promise<Response> {
  const object = (of: unknown) => ({ metadata: labelled, spec: of })
  return before === undefined
    ? await ask(`/validate/${plural}`, 'CREATE', object(spec))
    : await ask(`/validate/${plural}`, 'UPDATE', object(spec), object(before))
}

describe('an AgentRun as it comes', () => {
  const spec = { instanceRef: { name: 'desk' }, task: 'go' }
  const mutate = async (object: object, operation = 'CREATE') => {
    const response = await ask('/mutate/agentruns', operation, object)
    const patch = response.patch && (JSON.parse(Buffer.from(response.patch, 'base64').toString()) as unknown)
    return { ...response, patch }
  }
  const origin = { kind: 'user', detail: 'ann' }
  const addOrigin = { op: 'add', path: '/spec/origin', value: origin }
  const addLabel = { op: 'add', path: '/metadata/labels/k8sclaw.io~1instance', value: 'desk' }

  test('gets its writer as its origin, and the label of its instance', async () => {
    const labels = { op: 'add', path: '/metadata/labels', value: {} }
    const { allowed, patchType, patch } = await mutate({ metadata: {}, spec })
    expect({ allowed, patchType, patch }).toEqual({
      allowed: true,
      patchType: 'JSONPatch',
      patch: [addOrigin, labels, addLabel],
    })
    expect((await mutate({ metadata: { labels: { mine: 'x' } }, spec })).patch).toEqual([addOrigin, addLabel])
  })

  test('may state the origin that it would get', async () => {
    expect((await mutate({ metadata: labelled, spec: { ...spec, origin } })).patch).toEqual([addLabel])
  })

  test.each([
    ['spec.origin', { origin: { kind: 'user', detail: 'bob' } }],
    ['spec.origin', { origin: { kind: 'agent', detail: 'ann' } }],
    ['spec.origin', { origin: null }],
    ['spec.parent', { parent: { name: 'p', depth: 1 } }],
  ])('may not claim %s as %j', async (field, claimed) => {
    const refused = { code: 403, reason: 'Forbidden', details: { causes: [{ field }] } }
    expect((await mutate({ metadata: {}, spec: { ...spec, ...claimed } })).status).toMatchObject(refused)
    // Nor where the mutating webhook was not asked.
    expect((await review('agentruns', { ...spec, origin, ...claimed })).allowed).toBe(false)
  })

  test('may claim both where the controller writes it', async () => {
    writer = controller
    const claimed = { origin: { kind: 'agent', detail: 'p' }, parent: { name: 'p', depth: 1 } }
    expect((await mutate({ metadata: labelled, spec: { ...spec, ...claimed } })).patch).toEqual([addLabel])
  })

  test('is left alone when it is changed, and where only the schema can say what is wrong', async () => {
    expect((await mutate({ metadata: {}, spec }, 'UPDATE')).patch).toBeUndefined()
    expect((await mutate({ metadata: {}, spec: 'none' })).patch).toBeUndefined()
    for (const instanceRef of ['desk', { name: 'No Name' }, { name: 7 }, null]) {
      expect((await mutate({ metadata: {}, spec: { ...spec, instanceRef } })).patch).toEqual([addOrigin])
    }
  })
})

describe('an AgentRun', () => {
  const run = { instanceRef: { name: 'desk' }, task: 'go', origin: { kind: 'user', detail: 'ann' } }

  test('that its instance can do is admitted', async () => {
    expect(await review('agentruns', run)).toEqual({ uid: 'u-1', allowed: true })
  })

  test('may name an instance that does not exist yet', async () => {
    const spec = { ...run, instanceRef: { name: 'later' } }
    const metadata = { name: 'x', labels: { [instanceLabel]: 'later' } }
    expect((await ask('/validate/agentruns', 'CREATE', { metadata, spec })).allowed).toBe(true)
  })

  test.each([
    [{ ...run, agent: 'cook' }, 'spec.agent', 'instance desk has no agent cook'],
    [{ ...run, model: claude }, 'spec.model.provider', 'no authRef for provider anthropic'],
    [{ ...run, task: 'a\0b' }, 'spec.task', 'NUL'],
    [{ ...run, timeout: '0s' }, 'spec.timeout', 'from 1s'],
    [{ ...run, extra: 1 }, 'spec.extra', 'unknown field'],
    [undefined, 'spec', 'is required'],
  ])('%j is denied and %s is named', async (spec, field, message) => {
    const { allowed, status } = await review('agentruns', spec)
    expect(allowed).toBe(false)
    expect(status).toMatchObject({ code: 422, reason: 'Invalid', details: { causes: [{ field }] } })
    expect(status?.message).toContain(message)
  })

  test('without origin or label, which admission would have written, is denied', async () => {
    const { origin: _, ...bare } = run
    expect((await review('agentruns', bare)).status).toMatchObject({
      code: 403,
      message: 'spec.origin: admission has not written it',
    })
    const unlabelled = await ask('/validate/agentruns', 'CREATE', { metadata: { name: 'x' }, spec: run })
    expect(unlabelled.status).toMatchObject({ code: 422, details: { causes: [{ field: 'metadata.labels' }] } })
  })

  test('is not judged again when it is cancelled, whatever its instance has become', async () => {
    objects.delete('team/clawinstances/desk')
    const metadata = { name: 'x', labels: { [instanceLabel]: 'desk' } }
    const before = { metadata, spec: { ...run, agent: 'gone' } }
    const cancelled = { metadata, spec: { ...before.spec, cancel: true } }
    expect((await ask('/validate/agentruns', 'UPDATE', cancelled, before)).allowed).toBe(true)
    const unlabelled = { ...cancelled, metadata: { name: 'x' } }
    expect((await ask('/validate/agentruns', 'UPDATE', unlabelled, before)).allowed).toBe(false)
    expect((await ask('/validate/agentruns', 'UPDATE', unlabelled, unlabelled)).allowed).toBe(true)
  })

  test('whose model nothing would isolate is denied', async () => {
    objects.set(
      'team/clawinstances/desk',
      instance({
        agents: { default: { model: claude, timeout: '10m' } },
        authRefs: [{ provider: 'anthropic', secretRef: { name: 'key' } }],
      }),
    )
    expect((await review('agentruns', run)).status?.message).toContain('isolation: none')
  })

  test('whose packs hold one skill twice is denied, and one whose packs are not there yet is not', async () => {
    objects.set('team/clawinstances/desk', instance({ skills: ['a', 'b'].map((name) => ({ skillPackRef: { name } })) }))
    const pack = (name: string) => ({
      metadata: { name, namespace: 'team' },
      spec: { skills: [{ name: 'git', description: 'd', content: 'c' }] },
    })
    objects.set('team/skillpacks/a', pack('a'))
    expect((await review('agentruns', run)).allowed).toBe(true)
    objects.set('team/skillpacks/b', pack('b'))
    expect((await review('agentruns', run)).status?.message).toContain('skill git is in both a and b')
  })

  test('is neither admitted nor called wrong while the API server does not answer', async () => {
    apiAway = true
    expect((await review('agentruns', run)).status).toMatchObject({ code: 503, reason: 'ServiceUnavailable' })
  })
})

describe('a ClawInstance', () => {
  const { spec } = instance()
  const authRefs = [{ provider: 'anthropic', secretRef: { name: 'key' } }]

  test('that lends no rights is admitted', async () => {
    expect((await review('clawinstances', spec)).allowed).toBe(true)
  })

  test("may name a Secret only with the writer's own right to get it", async () => {
    expect((await review('clawinstances', { ...spec, authRefs })).status).toMatchObject({
      code: 403,
      reason: 'Forbidden',
      message: 'spec.authRefs.0.secretRef: naming Secret key needs the right to get it',
    })
    rights.add('staff get team/secrets/key')
    expect((await review('clawinstances', { ...spec, authRefs })).allowed).toBe(true)
  })

  test('that names a Secret already may be changed in other fields by others', async () => {
    const before = { ...spec, authRefs }
    expect((await review('clawinstances', { ...before, maxConcurrentRuns: 1 }, before)).allowed).toBe(true)
    const elsewhere = [{ provider: 'evil', secretRef: { name: 'key' } }]
    expect((await review('clawinstances', { ...before, authRefs: elsewhere }, before)).status?.code).toBe(403)
  })

  test('may name a policy only with the verb use on it, when it is named first', async () => {
    const bound = { ...spec, policyRef: { name: 'loose' } }
    expect((await review('clawinstances', bound)).status).toMatchObject({ code: 403, reason: 'Forbidden' })
    expect((await review('clawinstances', bound, spec)).allowed).toBe(false)
    expect((await review('clawinstances', { ...bound, maxConcurrentRuns: 1 }, bound)).allowed).toBe(true)
    rights.add('ann use team/clawpolicies/loose')
    expect((await review('clawinstances', bound)).allowed).toBe(true)
  })
})

test.each([
  ['clawpolicies', { featureGates: { telepathy: true } }, 'spec.featureGates.telepathy: unknown field'],
  ['skillpacks', { skills: [] }, 'spec.skills'],
])('%s %j is denied', async (plural, spec, message) => {
  expect((await review(plural, spec)).status?.message).toContain(message)
})

test('an update that leaves the spec alone passes whatever the spec is, so that finalizers can go', async () => {
  const wrong = { nothing: 'of this', is: 'valid' }
  for (const plural of ['agentruns', 'clawinstances', 'clawpolicies', 'skillpacks']) {
    expect((await review(plural, wrong, wrong)).allowed).toBe(true)
  }
})

describe('what is no review', () => {
  test.each(['', '{', 'null', '[]', '{}', '{"apiVersion":"admission.k8s.io/v1beta1"}', '"x"', '\0'])(
    '%j is answered 400',
    async (body) => {
      expect((await post('/validate/agentruns', body)).status).toBe(400)
    },
  )

  test('a body beyond the limit is answered 413, an unknown kind 404', async () => {
    expect((await post('/validate/agentruns', 'x'.repeat(8 * 1024 * 1024 + 1))).status).toBe(413)
    for (const path of ['/validate/pods', '/validate/constructor', '/mutate/clawinstances', '/mutate/__proto__']) {
      expect((await post(path, {})).status).toBe(404)
    }
  })
})
