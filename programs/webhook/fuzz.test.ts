import fc from 'fast-check'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import {
  agentRunSpec,
  type ClawInstance,
  type ClawPolicy,
  clawInstanceSpec,
  clawPolicySpec,
  effective,
  type SkillPack,
  skillPackSpec,
} from '#core/kinds'
import { bindingPolicy, type Platform, packSource, resolveRun } from '#core/policy'
import { specs } from '../../test/support/arbitrary.ts'
import { webhookApp } from './app.ts'

const platform: Platform = { isolation: 'kubernetes', allowUnconfined: false, images: { agent: 'a', sandbox: 's' } }
const username = 'ann'
let objects = new Map<string, object>()
const app = webhookApp({
  lookups: {
    find: async (resource, { name }) => objects.get(`${resource.plural}/${name}`) as never,
    list: async () => ({ items: [], resourceVersion: '1' }),
    subjectAccessReview: async () => true,
  },
  systemNamespace: 'k8sclaw-system',
  platform,
  isReady: () => true,
  log: pino({ level: 'silent' }),
})

const paths = [
  '/mutate/agentruns',
  ...['agentruns', 'clawinstances', 'clawpolicies', 'skillpacks'].map((p) => `/validate/${p}`),
]
const post = async (path: string, body: string) => await app.request(path, { method: 'POST', body })

interface Answer {
  response: {
    uid: string
    allowed: boolean
    status?: { code: number; reason: string; message: string; details?: { causes: { field: string }[] } }
  }
}
const reviewOf = (object: object, more: object = {}) => ({
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request: { uid: 'u', operation: 'CREATE', namespace: 'team', name: 'x', userInfo: { username }, object, ...more },
})
async function judge(plural: string, object: object): Promise<Answer['response']> {
  const answer = await post(`/validate/${plural}`, JSON.stringify(reviewOf(object)))
  expect(answer.status).toBe(200)
  return ((await answer.json()) as Answer).response
}

/** Names are few, so that what is generated refers to each other. */
const name = fc.constantFrom('default', 'coder', 'desk', 'demo')

describe('what the schemas accept', () => {
  test('is admitted only where the controller can act on it, and else refused by a field', {
    timeout: 120_000,
  }, async () => {
    let admitted = 0
    let refused = 0
    const world = fc.record({
      instance: specs.ClawInstance,
      policy: fc.option(specs.ClawPolicy, { nil: undefined }),
      packs: fc.dictionary(name, specs.SkillPack, { maxKeys: 2 }),
      run: specs.AgentRun,
    })
    /** Of what is generated blindly little is admitted: half names an agent and providers that are there. */
    const likely = world.map(({ instance, run, policy, packs }) => {
      const [agent = 'default'] = Object.keys(instance.agents).reverse()
      const models = [run.model, ...Object.values(instance.agents).map(({ model }) => model)]
      const wanted = [...models, instance.memory?.embeddings]
      const providers = [...new Set(wanted.flatMap((model) => model?.provider ?? []))]
      const authRefs = providers.map((provider) => ({ provider, secretRef: { name: provider } }))
      return { instance: { ...instance, authRefs }, run: { ...run, agent }, packs, policy }
    })
    await fc.assert(
      fc.asyncProperty(fc.oneof(world, likely), async ({ instance, policy, packs, run }) => {
        const metadata = { name: run.instanceRef.name, namespace: 'team' }
        const theInstance = { metadata, spec: clawInstanceSpec.parse(instance) } as ClawInstance
        const policyName = bindingPolicy(theInstance).name
        const thePolicy =
          policy && ({ metadata: { name: policyName }, spec: clawPolicySpec.parse(policy) } as ClawPolicy)
        const thePacks = Object.entries(packs).map(([pack, spec]) => {
          return { metadata: { name: pack }, spec: skillPackSpec.parse(spec) } as SkillPack
        })
        objects = new Map<string, object>([
          [`clawinstances/${metadata.name}`, theInstance],
          ...(thePolicy ? [[`clawpolicies/${policyName}`, thePolicy] as const] : []),
          ...thePacks.map((pack) => [`skillpacks/${pack.metadata.name}`, pack] as const),
        ])
        for (const [plural, spec] of [
          ['clawinstances', instance],
          ['clawpolicies', policy ?? {}],
        ] as const) {
          const { allowed, status } = await judge(plural, { metadata, spec })
          if (!allowed)
            expect(status).toMatchObject({
              code: 422,
              details: { causes: [{ field: expect.stringMatching(/^spec\.(agents\.|memory\.embeddings)/) }] },
            })
        }

        const { parent: _, ...own } = { ...run, origin: { kind: 'user', detail: username } }
        const labels = { 'k8sclaw.io/instance': run.instanceRef.name }
        const { allowed, status } = await judge('agentruns', { metadata: { name: 'x', labels }, spec: own })
        const spec = agentRunSpec.parse(own)
        // As the controller does it: from what is stored, with the packs under the names of their ConfigMaps.
        const sources = thePacks.map(
          (pack) => [pack.metadata.name, packSource(pack.spec, `skills-${pack.metadata.name}`)] as const,
        )
        const skills = { packs: Object.fromEntries(sources), configMaps: {} }
        const resolution = resolveRun({ instance: theInstance, policy: thePolicy, run: { spec }, skills, platform })
        expect(allowed).toBe('effective' in resolution)
        if ('effective' in resolution) {
          admitted++
          expect(effective.safeParse(resolution.effective).error).toBeUndefined()
        } else {
          refused++
          expect(status).toMatchObject({
            code: 422,
            reason: 'Invalid',
            details: { causes: [{ field: expect.stringMatching(/^spec\./) }] },
          })
        }
      }),
      { numRuns: 1_000 },
    )
    // Neither side is empty, or the property says nothing.
    expect(Math.min(admitted, refused)).toBeGreaterThan(50)
  })

  test('has no field by which to ask for root, at any depth', async () => {
    const asks = fc.constantFrom<[string, unknown]>(
      ['securityContext', { runAsUser: 0 }],
      ['runAsUser', 0],
      ['runAsNonRoot', false],
      ['privileged', true],
      ['hostNetwork', true],
      ['volumes', [{ hostPath: { path: '/' } }]],
      ['capabilities', { add: ['SYS_ADMIN'] }],
      ['serviceAccountName', 'admin'],
    )
    const kinds = fc.oneof(
      ...Object.entries({
        agentruns: specs.AgentRun,
        clawinstances: specs.ClawInstance,
        clawpolicies: specs.ClawPolicy,
        skillpacks: specs.SkillPack,
      }).map(([plural, spec]) => fc.tuple(fc.constant(plural), spec as fc.Arbitrary<object>)),
    )
    objects = new Map()
    await fc.assert(
      fc.asyncProperty(kinds, asks, fc.nat(), async ([plural, spec], [field, value], where) => {
        const changed = structuredClone(spec)
        const places = mapsIn(changed)
        const place = places[where % places.length]
        if (!place) throw new Error('a spec is a map')
        place[field] = value
        const { allowed, status } = await judge(plural, { metadata: {}, spec: changed })
        expect(allowed).toBe(false)
        expect(status?.message).toContain(field)
      }),
      { numRuns: 1_000 },
    )
  })
})

describe('what is malformed', () => {
  const valid = fc.oneof(
    ...[specs.AgentRun, specs.ClawInstance, specs.ClawPolicy, specs.SkillPack].map(
      (spec) => spec as fc.Arbitrary<object>,
    ),
  )
  const operation = fc.constantFrom('CREATE', 'UPDATE', 'DELETE', 'CONNECT', '')
  const review = fc
    .tuple(valid, valid, operation)
    .map(([spec, before, op]) => reviewOf({ metadata: {}, spec }, { operation: op, oldObject: { spec: before } }))
  const broken = fc
    .tuple(
      review,
      fc.array(fc.tuple(fc.nat(), fc.nat(), fc.option(fc.jsonValue({ maxDepth: 3 }), { nil: undefined })), {
        minLength: 1,
        maxLength: 4,
      }),
    )
    .map(([whole, changes]) => {
      const changed = structuredClone(whole) as object
      for (const [where, which, value] of changes) {
        const places = mapsIn(changed)
        const place = places[where % places.length] ?? {}
        const keys = Object.keys(place)
        const key = keys[which % Math.max(keys.length, 1)] ?? 'extra'
        if (value === undefined) delete place[key]
        else place[key] = value
      }
      return JSON.stringify(changed)
    })
  const cut = fc.tuple(review, fc.nat()).map(([whole, at]) => {
    const text = JSON.stringify(whole)
    return text.slice(0, at % text.length)
  })
  const body = fc.oneof({ weight: 8, arbitrary: broken }, cut, fc.json(), fc.string())

  test('is answered, by the program itself, and never by a fault of its own', { timeout: 120_000 }, async () => {
    objects = new Map()
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...paths), body, async (path, sent) => {
        const answer = await post(path, sent)
        if (answer.status === 400) return
        expect(answer.status).toBe(200)
        const { response } = (await answer.json()) as Answer
        expect(response.uid).not.toBe('')
        if (!response.allowed) expect([403, 422]).toContain(response.status?.code)
      }),
      { numRuns: 12_000 },
    )
  })

  test.each(paths)('%s survives a spec nested beyond reason', async (path) => {
    const deep = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`
    for (const operation of ['CREATE', 'UPDATE']) {
      const text = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","operation":"${operation}","object":{"spec":${deep}},"oldObject":{"spec":${deep}}}}`
      expect([200, 400]).toContain((await post(path, text)).status)
    }
  })
})

/** Every map in a JSON value, itself included, and every map in its lists. */
function mapsIn(value: unknown): Record<string, unknown>[] {
  if (Array.isArray(value)) return value.flatMap(mapsIn)
  if (typeof value !== 'object' || value === null) return []
  return [value as Record<string, unknown>, ...Object.values(value).flatMap(mapsIn)]
}
