/**
 * Objects made from the schemas, put to a real API server with the webhook and the controller behind it: what admission
 * accepts the controller acts on and says so, and what it refuses names the field. The same objects every time.
 */
import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isClawError } from '#core/errors'
import {
  type AgentRun,
  agentRuns,
  apiVersion,
  type ClawInstance,
  type ClawPolicy,
  type Condition,
  clawInstances,
  clawPolicies,
  type KubeObject,
  type Resource,
  type SkillPack,
  skillPacks,
} from '#core/kinds'
import { Informer, namespaces } from '#core/kube'
import { bindingPolicy } from '#core/policy'
import { specs } from '../support/arbitrary.ts'
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts'
import { kubernetesAssets } from './assets.ts'

const worlds = 50
const seed = 20_261_123
const instanceName = 'desk'
const runtimeClasses = {
  group: 'node.k8s.io',
  version: 'v1',
  plural: 'runtimeclasses',
  kind: 'RuntimeClass',
  namespaced: false,
}

/** What a namespace is given; the packs have the names by which instances ask for them. */
interface World {
  instance: ClawInstance['spec']
  policy: ClawPolicy['spec'] | undefined
  packs: Record<string, SkillPack['spec']>
  runs: AgentRun['spec'][]
}
type Ours = ClawInstance | ClawPolicy | SkillPack | AgentRun
interface AuditEvent {
  verb: string
  userAgent?: string
  user: { username: string }
  requestURI: string
  objectRef?: { namespace?: string; resource?: string }
  responseStatus?: { code?: number; message?: string; reason?: string }
}

describe.skipIf(!kubernetesAssets()?.hasControllerManager)('what the schemas accept, on a real API server', () => {
  const stop = new AbortController()
  /** The last state of everything of ours that was there, by uid, of what is gone as well. */
  const seen = new Map<string, Ours>()
  const accepted: Ours[] = []
  const refused: { kind: string; code: string; field: string | undefined; message: string }[] = []
  let plane: ControlPlane
  let watching: Promise<unknown>

  beforeAll(async () => {
    plane = await startControlPlane({ runs: 'simulated' })
    const all = [clawInstances, clawPolicies, skillPacks, agentRuns].map((resource) => {
      const informer = new Informer<Ours>(plane.admin, resource, { namespace: '*' })
      const note = (object: Ours) => void seen.set(object.metadata.uid ?? '', object)
      informer.on({ add: note, update: note })
      return informer.run(stop.signal)
    })
    watching = Promise.all(all)
  })
  afterAll(async () => {
    stop.abort()
    await watching
    await plane?.close()
  })

  test('is admitted, or refused by the field that is wrong', async () => {
    const all = fc.sample(generated(), { seed, numRuns: worlds })
    // Pods name these; a cluster that lacks one refuses their pods, which `starting` holds to account.
    for (const name of new Set(valuesOf('runtimeClassName', all)))
      await plane.admin.create(runtimeClasses, runtimeClass(name))
    const waiting = all.map((world, i) => [`w-${i}`, world] as const)
    const write = async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) await writeWorld(...next)
    }
    await Promise.all(Array.from({ length: 6 }, write))
    const wrong = refused.filter(
      ({ code, field }) => (code !== 'invalid' && code !== 'forbidden') || !field?.startsWith('spec'),
    )
    expect(wrong).toEqual([])
    // Neither side is empty, or this says nothing.
    const count = (of: { kind: string }[], { kind }: Resource) => of.filter((one) => one.kind === kind).length
    expect(Math.min(count(accepted, agentRuns), count(refused, agentRuns))).toBeGreaterThan(20)
    expect(count(accepted, clawInstances)).toBeGreaterThan(worlds / 2)
    expect(accepted.length + refused.length).toBeGreaterThan(4 * worlds)
  })

  test('has a state, and the controller says which', async () => {
    const silent = () => {
      const now = accepted.map((one) => seen.get(one.metadata.uid ?? '') ?? one)
      return now.filter((one) => !isTold(one)).map(({ kind, metadata, status }) => [kind, metadata, status])
    }
    await expect.poll(silent, { timeout: 90_000, interval: 500 }).toEqual([])
    // A run of ours that could begin has done so by the time that somebody looks.
    const phases = () => new Set(accepted.flatMap(({ metadata }) => phaseOf(seen.get(metadata.uid ?? ''))))
    await expect.poll(phases, { timeout: 60_000 }).toContain('Succeeded')
    expect(plane.simulated?.failures).toEqual([])
  })

  test('makes nothing that the API server finds wrong', async () => {
    const lines = (await readFile(plane.kubernetes.auditLog, 'utf8')).trim().split('\n')
    const events = lines.map((line) => JSON.parse(line) as AuditEvent)
    const ours = events.filter(({ user, userAgent = '', objectRef }) => {
      const isController = user.username === 'system:serviceaccount:k8sclaw-system:k8sclaw-controller'
      // What becomes of the Jobs: their pods are made, or the Job controller is told why not.
      const isPodOfJob = userAgent.startsWith('kube-controller-manager/') && objectRef?.resource === 'pods'
      return (isController || isPodOfJob) && objectRef?.namespace?.startsWith('w-')
    })
    const wrong = ours.filter(({ responseStatus }) =>
      [400, 403, 413, 415, 422, 500].includes(responseStatus?.code ?? 0),
    )
    expect(wrong.map(({ requestURI, verb, responseStatus }) => [verb, requestURI, responseStatus])).toEqual([])
    expect(ours.filter(({ verb, objectRef }) => verb === 'create' && objectRef?.resource === 'jobs')).not.toEqual([])
  })

  async function writeWorld(namespace: string, { instance, policy, packs, runs }: World): Promise<void> {
    await plane.admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
    const named = (name: string) => ({ metadata: { name, namespace } })
    const policyName = bindingPolicy({ ...named(instanceName), spec: instance } as ClawInstance).name
    if (policy) await write(clawPolicies, namespace, policyName, policy)
    for (const [name, spec] of Object.entries(packs)) await write(skillPacks, namespace, name, spec)
    await write(clawInstances, namespace, instanceName, instance)
    for (const [i, spec] of runs.entries()) await write(agentRuns, namespace, `run-${i}`, spec)
  }

  async function write(resource: Resource, namespace: string, name: string, spec: object): Promise<void> {
    const { kind } = resource
    const object = { apiVersion, kind, metadata: { name, namespace }, spec } as KubeObject
    try {
      const path = plane.admin.collection(resource, namespace)
      const query = { fieldValidation: 'Strict' }
      accepted.push(await plane.admin.requestJson<Ours>(path, { method: 'POST', query, body: object }))
    } catch (error) {
      if (!isClawError(error)) throw error
      refused.push({ kind, code: error.code, field: error.field, message: error.message })
    }
  }
})

/**
 * Of what is generated blindly little is admitted and less begins. In most worlds what is named is there, runs claim
 * nothing and are not cancelled before they begin, and in half of those the policy leaves models and images open.
 */
function generated(): fc.Arbitrary<World> {
  const name = fc.constantFrom('default', 'coder', 'desk', 'demo')
  const blind = fc.record({
    instance: specs.ClawInstance as fc.Arbitrary<World['instance']>,
    policy: fc.option(specs.ClawPolicy as fc.Arbitrary<ClawPolicy['spec']>, { nil: undefined }),
    packs: fc.dictionary(name, specs.SkillPack as fc.Arbitrary<SkillPack['spec']>, { maxKeys: 2 }),
    runs: fc.array(specs.AgentRun as fc.Arbitrary<AgentRun['spec']>, { minLength: 3, maxLength: 4 }),
  })
  const whole = fc.tuple(blind, fc.boolean()).map(([world, isOpen]): World => {
    const { instance, policy, packs, runs } = world
    const agents = Object.keys(instance.agents)
    const models = [...runs.map(({ model }) => model), ...Object.values(instance.agents).map(({ model }) => model)]
    const providers = [...new Set(models.flatMap((model) => model?.provider ?? []))]
    const { policyRef, ...rest } = instance
    const { modelPolicy: _, imagePolicy: __, sandboxPolicy: ___, ...open } = policy ?? {}
    return {
      packs,
      policy: policy && isOpen ? (open as ClawPolicy['spec']) : policy,
      instance: {
        ...rest,
        ...(policy && policyRef && { policyRef }),
        authRefs: providers.map((provider) => ({ provider, secretRef: { name: provider } })),
        skills: Object.keys(packs).map((name) => ({ skillPackRef: { name } })),
      },
      runs: runs.map(({ origin: _, parent: __, cancel: ___, ...run }, i) => {
        return { ...run, agent: agents[i % agents.length], instanceRef: { name: instanceName } } as AgentRun['spec']
      }),
    }
  })
  return fc.oneof({ weight: 1, arbitrary: blind }, { weight: 3, arbitrary: whole })
}

function runtimeClass(name: string): KubeObject & { handler: string } {
  return { apiVersion: 'node.k8s.io/v1', kind: 'RuntimeClass', metadata: { name }, handler: 'any' }
}

/** Of a field, wherever it stands. */
function valuesOf(field: string, value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) =>
    key === field && typeof inner === 'string' ? [inner] : valuesOf(field, inner),
  )
}

/** A run has begun or says why not; of the other kinds, this very version has been looked at. */
function isTold(object: Ours): boolean {
  const { metadata, status } = object
  if (object.kind === agentRuns.kind) {
    const { phase, reason, podName } = (object as AgentRun).status ?? {}
    return phase !== undefined && (podName ?? reason) !== undefined
  }
  const { observedGeneration, conditions = [] } = (status ?? {}) as {
    observedGeneration?: number
    conditions?: Condition[]
  }
  return observedGeneration === metadata.generation && conditions.length > 0
}

function phaseOf(object: Ours | undefined): string[] {
  const { phase } = (object?.status ?? {}) as { phase?: string }
  return phase === undefined ? [] : [phase]
}
