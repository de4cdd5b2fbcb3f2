import fc from 'fast-check'
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

let objects: Map<string, object>
let rights: Set<string>
let apiAway = false
beforeEach(() => {
  objects = new Map([['team/clawinstances/desk', instance()]])
  rights = new Set()
  apiAway = false
})

const app = webhookApp({
  // The API server as admission sees it: objects by address, and rights as `user verb resource/name`.
  lookups: {
    find: async (resource, { name, namespace }) => {
      if (apiAway) throw new ClawError('unavailable', 'connection refused')
      return objects.get(`${namespace}/${resource.plural}/${name}`) as never
    },
    subjectAccessReview: async ({ user, groups, verb, resource, namespace, name }) =>
      [user, ...(groups ?? [])].some((who) => rights.has(`${who} ${verb} ${namespace}/${resource.plural}/${name}`)),
  },
  platform: { isolation: 'none', allowUnconfined: false, images: { agent: 'a', sandbox: 's' } },
  isReady: () => true,
  log: pino({ level: 'silent' }),
})

const post = (plural: string, body: unknown) =>
  app.request(`/validate/${plural}`, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) })

interface Response {
  uid: string
  allowed: boolean
  status?: { code: number; reason: string; message: string; details?: { causes: { field: string }[] } }
}

async function review(plural: string, spec: unknown, before?: unknown): Promise<Response> {
  const answer = await post(plural, {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'u-1',
      operation: before === undefined ? 'CREATE' : 'UPDATE',
      namespace: 'team',
      name: 'x',
      userInfo: { username: 'ann', groups: ['staff'] },
      object: { metadata: { name: 'x' }, spec },
      oldObject: before === undefined ? null : { metadata: { name: 'x' }, spec: before },
    },
  })
  expect(answer.status).toBe(200)
  const body = (await answer.json()) as { apiVersion: string; kind: string; response: Response }
  expect(body).toMatchObject({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: { uid: 'u-1' } })
  return body.response
}

describe('an AgentRun', () => {
  const run = { instanceRef: { name: 'desk' }, task: 'go' }

  test('that its instance can do is admitted', async () => {
    expect(await review('agentruns', run)).toEqual({ uid: 'u-1', allowed: true })
  })

  test('may name an instance that does not exist yet', async () => {
    expect((await review('agentruns', { ...run, instanceRef: { name: 'later' } })).allowed).toBe(true)
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
      expect((await post('agentruns', body)).status).toBe(400)
    },
  )

  test('a body beyond the limit is answered 413, an unknown kind 404', async () => {
    expect((await post('agentruns', 'x'.repeat(16 * 1024 * 1024 + 1))).status).toBe(413)
    expect((await post('pods', {})).status).toBe(404)
    expect((await post('constructor', {})).status).toBe(404)
  })

  test('nothing, whatever its shape, is answered by a crash', async () => {
    const json = fc.jsonValue({ maxDepth: 4 })
    const request = fc.record(
      {
        uid: fc.oneof(fc.constant('u-1'), json),
        operation: fc.constantFrom('CREATE', 'UPDATE', 'DELETE'),
        object: json,
      },
      { requiredKeys: [] },
    )
    const body = fc.oneof(
      json,
      fc.record({ apiVersion: fc.constant('admission.k8s.io/v1'), kind: fc.constant('AdmissionReview'), request }),
    )
    await fc.assert(
      fc.asyncProperty(fc.constantFrom('agentruns', 'clawinstances', 'skillpacks'), body, async (plural, sent) => {
        expect([200, 400]).toContain((await post(plural, sent)).status)
      }),
      { numRuns: 500 },
    )
  })

  test('a spec nested beyond reason is denied', async () => {
    const deep = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`
    const text = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","operation":"UPDATE","object":{"spec":${deep}},"oldObject":{"spec":${deep}}}}`
    expect([200, 400]).toContain((await post('agentruns', text)).status)
  })
})
