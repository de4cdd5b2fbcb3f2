import { pino } from 'pino'
import { beforeEach, describe, expect, test } from 'vitest'
import { ClawError } from '#core/errors'
import type { ClawInstance } from '#core/kinds'
import { type Platform, resolveRun } from '#core/policy'
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

const platform: Platform = { isolation: 'none', allowUnconfined: false, images: { agent: 'a', sandbox: 's' } }

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
  platform,
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

  test("may go on with a conversation only with the writer's own right to read it", async () => {
    const talking = { ...run, sessionKey: 'chat' }
    expect((await review('agentruns', talking)).status).toMatchObject({
      code: 403,
      message: expect.stringMatching(/^spec\.sessionKey: .* needs the verb get on sessions\.k8sclaw\.io$/),
    })
    rights.add('staff get team/sessions/undefined')
    expect((await review('agentruns', talking)).allowed).toBe(true)
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
    expect((await review('agentruns', run)).status?.message).toContain(
      'skill git is in both SkillPack a and SkillPack b',
    )
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

  test("hands a channel a Secret only with the writer's own right to get it, and to another service only so", async () => {
    const channel = { name: 'chat', type: 'telegram', secretRef: { name: 'bot' } }
    const before = { ...spec, channels: [channel] }
    const codeOf = async (change: object, old?: object) =>
      (await review('clawinstances', { ...spec, channels: [{ ...channel, ...change }] }, old)).status?.code ?? 200
    expect((await review('clawinstances', before)).status).toMatchObject({
      code: 403,
      message: 'spec.channels.0.secretRef: naming Secret bot needs the right to get it',
    })
    expect(await codeOf({ access: { mode: 'open' }, name: 'desk' }, before)).toBe(200)
    expect(await codeOf({ type: 'slack' }, before)).toBe(403)
    expect(await codeOf({ secretRef: { name: 'other' } }, before)).toBe(403)
    rights.add('ann get team/secrets/bot')
    expect(await codeOf({})).toBe(200)
    expect(await codeOf({ type: 'slack' }, before)).toBe(200)
  })

  test('may name a policy only with the verb use on it, when it is named first', async () => {
    const bound = { ...spec, policyRef: { name: 'loose' } }
    expect((await review('clawinstances', bound)).status).toMatchObject({ code: 403, reason: 'Forbidden' })
    expect((await review('clawinstances', bound, spec)).allowed).toBe(false)
    expect((await review('clawinstances', { ...bound, maxConcurrentRuns: 1 }, bound)).allowed).toBe(true)
    rights.add('ann use team/clawpolicies/loose')
    expect((await review('clawinstances', bound)).allowed).toBe(true)
  })

  test.each([
    ['spec.imagePullSecrets.0', { imagePullSecrets: [{ name: 'pull' }] }, 'ann get team/secrets/pull'],
    [
      'spec.skills.1.configMapRef',
      { skills: [{ skillPackRef: { name: 'p' } }, { configMapRef: { name: 'notes' } }] },
      'staff get team/configmaps/notes',
    ],
  ])('names in %s only what its writer may read', async (field, more, right) => {
    const { status } = await review('clawinstances', { ...spec, ...more })
    expect(status).toMatchObject({ code: 403, details: { causes: [{ field }] } })
    expect(
      (await review('clawinstances', { ...spec, ...more, maxConcurrentRuns: 1 }, { ...spec, ...more })).allowed,
    ).toBe(true)
    rights.add(right)
    expect((await review('clawinstances', { ...spec, ...more })).allowed).toBe(true)
  })

  describe('under a policy', () => {
    const policy = (more: object) =>
      objects.set('team/clawpolicies/default-policy', {
        metadata: { name: 'default-policy', namespace: 'team' },
        spec: { toolGating: { defaultAction: 'deny', rules: [] }, featureGates: {}, ...more },
      })
    const withAgent = (agent: object) => ({ ...spec, agents: { ...spec.agents, coder: { model: demo, ...agent } } })
    const image = 'ghcr.io/org-evil/agent:1'
    const images = { imagePolicy: { allowed: ['ghcr.io/org'] } }

    test.each<[string, object, object]>([
      ['spec.agents.coder.image', { image }, images],
      ['spec.agents.coder.sandbox.image', { sandbox: { enabled: true, image } }, images],
      [
        'spec.agents.coder.model',
        { model: { provider: 'demo', name: 'big' } },
        { modelPolicy: { allowed: ['demo/demo'] } },
      ],
      [
        'spec.agents.coder.resources.limits.memory',
        { resources: { limits: { memory: '2Gi' } } },
        { sandboxPolicy: { required: false, maxMemory: '1Gi' } },
      ],
      [
        'spec.agents.coder.sandbox.resources.requests.cpu',
        { sandbox: { enabled: true, resources: { requests: { cpu: '2' } } } },
        { sandboxPolicy: { required: false, maxCPU: '500m' } },
      ],
    ])('%s is held to it', async (field, agent, rules) => {
      expect((await review('clawinstances', withAgent(agent))).allowed).toBe(true)
      policy(rules)
      const { status } = await review('clawinstances', withAgent(agent))
      expect(status).toMatchObject({ code: 422, reason: 'Invalid', details: { causes: [{ field }] } })
    })

    test('what compares its memories is held to it, unless that stays as it is', async () => {
      const embeddings = { provider: 'demo', name: 'big', dimensions: 64 }
      const remembering = { ...spec, memory: { embeddings } }
      expect((await review('clawinstances', remembering)).allowed).toBe(true)
      policy({ modelPolicy: { allowed: ['demo/demo'] } })
      const { status } = await review('clawinstances', remembering)
      const field = 'spec.memory.embeddings'
      expect(status).toMatchObject({ code: 422, reason: 'Invalid', details: { causes: [{ field }] } })
      expect(status?.message).toContain('does not allow the embeddings model demo/big')
      const before = {
        ...remembering,
        memory: { embeddings: { ...embeddings, shortened: false }, scopes: ['session'] },
      }
      expect((await review('clawinstances', { ...before, maxConcurrentRuns: 2 }, before)).allowed).toBe(true)
    })

    test('of whatever policy, what compares its memories is no provider that has no embeddings', async () => {
      const embeddings = { provider: 'anthropic', name: 'x', dimensions: 64 }
      const { status } = await review('clawinstances', { ...spec, memory: { embeddings } })
      expect(status).toMatchObject({ code: 422, details: { causes: [{ field: 'spec.memory.embeddings.provider' }] } })
    })

    test('that requires a sandbox, each agent has one', async () => {
      policy({ sandboxPolicy: { required: true } })
      const field = 'spec.agents.default.sandbox.enabled'
      expect((await review('clawinstances', spec)).status).toMatchObject({ details: { causes: [{ field }] } })
    })

    test('that came later, an agent that stays as it is keeps nobody from changing the rest', async () => {
      policy(images)
      const before = withAgent({ image, timeout: '10m' })
      expect((await review('clawinstances', { ...before, maxConcurrentRuns: 1 }, before)).allowed).toBe(true)
      const changed = withAgent({ image, timeout: '20m' })
      expect((await review('clawinstances', changed, before)).allowed).toBe(false)
      rights.add('ann use team/clawpolicies/default-policy')
      const bound = { ...before, policyRef: { name: 'default-policy' } }
      expect((await review('clawinstances', bound, before)).allowed).toBe(false)
    })
  })
})

describe('a child, which the controller creates', () => {
  const resolved = resolveRun({
    instance: instance({
      agents: {
        default: { model: demo, timeout: '10m', subagents: { maxDepth: 2, maxConcurrent: 5, maxChildrenPerAgent: 2 } },
      },
    }) as ClawInstance,
    policy: undefined,
    run: { spec: { instanceRef: { name: 'desk' }, agent: 'default', task: 'go' } },
    skills: { packs: {}, configMaps: {} },
    platform,
  })
  const effective = 'effective' in resolved ? resolved.effective : undefined
  const parent = (more: object = {}) => ({
    metadata: { name: 'p', namespace: 'team', labels: { [instanceLabel]: 'desk' } },
    spec: { instanceRef: { name: 'desk' }, agent: 'default', task: 'go' },
    status: { phase: 'Running', effective },
    ...more,
  })
  const childOf = (name: string, depth = 1) => ({
    instanceRef: { name: 'desk' },
    task: 'go',
    origin: { kind: 'agent', detail: name },
    parent: { name, depth },
  })
  beforeEach(() => {
    writer = controller
    objects.set('team/agentruns/p', parent())
  })

  test('of a run that is there, and one deeper, is admitted', async () => {
    expect(await review('agentruns', childOf('p'))).toMatchObject({ allowed: true })
  })

  test.each<[string, object, string]>([
    ['spec.parent', childOf('q'), 'there is no AgentRun q'],
    ['spec.parent', childOf('p', 2), 'has depth 1, not 2'],
    ['spec.parent', childOf('over'), 'is over'],
    ['spec.parent', childOf('unresolved'), 'may have 0'],
    ['spec.parent.depth', childOf('deep', 3), 'deeper than 2'],
    ['spec.parent', childOf('elsewhere'), 'belongs to another instance'],
  ])('is refused by %s for %j', async (field, spec, message) => {
    const named = (name: string, more: object) =>
      objects.set(`team/agentruns/${name}`, parent({ metadata: { ...parent().metadata, name }, ...more }))
    named('over', { status: { phase: 'Succeeded', effective } })
    named('unresolved', { status: {} })
    named('deep', { spec: { ...parent().spec, parent: { name: 'x', depth: 2 } } })
    named('elsewhere', { spec: { ...parent().spec, instanceRef: { name: 'other' } } })
    const { status } = await review('agentruns', spec)
    expect(status).toMatchObject({ code: 422, details: { causes: [{ field }] } })
    expect(status?.message).toContain(message)
  })

  test('is refused once its parent has had as many as it may', async () => {
    const sibling = (name: string, of: string) =>
      objects.set(`team/agentruns/${name}`, parent({ metadata: { ...parent().metadata, name }, spec: childOf(of) }))
    sibling('a', 'p')
    sibling('b', 'another')
    expect((await review('agentruns', childOf('p'))).allowed).toBe(true)
    sibling('c', 'p')
    expect((await review('agentruns', childOf('p'))).status?.message).toContain('has had 2 children, and may have 2')
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
