import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Agent,
  type AgentRun,
  agentRunSpec,
  apiVersion,
  type ClawInstance,
  type ClawPolicy,
  clawInstanceSpec,
  clawPolicySpec,
  type Effective,
  effective as effectiveSchema,
  exceeds,
  featureGates,
  parseSpec,
  skillPackSpec,
} from '#core/kinds'
import { specs, words } from '../../test/support/arbitrary.ts'
import { admitsImage, admitsModel, admitsURL } from './allow.ts'
import { depthOf, judge, mayChildStart, mayHaveChild, type Platform, packSource, resolveRun } from './index.ts'

const platform: Platform = {
  isolation: 'kubernetes',
  allowUnconfined: false,
  images: { agent: 'k8sclaw/agent:1', sandbox: 'k8sclaw/sandbox:1' },
}
const tools = ['exec', 'read_file', 'write_file', 'list_files', 'other', 'a-tool']
const urls = ['https://api.example/v1', 'https://api.example/v1/eu', 'https://api.example', 'http://other.example/']
const credential = { secretRef: { name: 'key' } }

/** What one run is resolved from, as its writers might have written it, and mended so far that it often may start. */
const parts = fc
  .tuple(specs.ClawInstance, fc.option(specs.ClawPolicy), specs.AgentRun, fc.array(specs.SkillPack, { maxLength: 2 }))
  .map(([instance, policy, run, packs]) => ({
    instance: {
      apiVersion,
      kind: 'ClawInstance',
      metadata: { name: 'desk' },
      spec: parseSpec(clawInstanceSpec, {
        ...instance,
        authRefs: words.filter((word) => /^[a-z-]+$/.test(word)).map((provider) => ({ provider, ...credential })),
        skills: packs.map((_, i) => ({ skillPackRef: { name: `p${i}` } })),
      }),
    } satisfies ClawInstance,
    policy: policy
      ? ({
          apiVersion,
          kind: 'ClawPolicy',
          metadata: { name: 'team', generation: 1 },
          spec: parseSpec(clawPolicySpec, policy),
        } satisfies ClawPolicy)
      : undefined,
    spec: parseSpec(agentRunSpec, { ...run, instanceRef: { name: 'desk' }, parent: undefined }),
    skills: {
      packs: Object.fromEntries(packs.map((one, i) => [`p${i}`, packSource(parseSpec(skillPackSpec, one), `cm-${i}`)])),
      configMaps: {},
    },
    platform,
  }))
/** The same, of which most may start: what is most often refused comes from a handful, policies list some of it. */
const likely = fc
  .record({
    one: parts,
    model: fc.constantFrom('demo', 'openai').map((provider) => ({ provider, name: 'demo' })),
    image: fc.constantFrom(undefined, undefined, 'ghcr.io/org/x:1', 'busybox'),
    sandboxed: fc.boolean(),
    models: fc.subarray(['demo/*', 'openai/*', 'demo/demo'], { minLength: 1 }),
    images: fc.subarray(['ghcr.io/org/x', 'busybox']),
    gates: fc.subarray([...featureGates]).map((on) => Object.fromEntries(on.map((gate) => [gate, true]))),
  })
  .map(({ one, model, image, sandboxed, models, images, gates }) => {
    const { image: _, sandbox, subagents, ...agent } = { ...one.instance.spec.agents.default, model }
    const { image: __, ...wishes } = sandbox ?? {}
    const mended: Agent = {
      ...agent,
      timeout: agent.timeout ?? '10m',
      ...(image && { image }),
      ...(subagents && !sandboxed && { subagents }),
      sandbox: { ...wishes, enabled: sandboxed },
    }
    const { model: ___, ...spec } = one.spec
    const { modelPolicy, imagePolicy, sandboxPolicy, ...rules } = one.policy?.spec ?? parseSpec(clawPolicySpec, {})
    const lists = {
      featureGates: gates,
      ...(modelPolicy && { modelPolicy: { ...modelPolicy, allowed: models } }),
      ...(imagePolicy && { imagePolicy: { allowed: images } }),
      ...(sandboxPolicy && { sandboxPolicy: { ...sandboxPolicy, required: sandboxPolicy.required && sandboxed } }),
    }
    const { memory } = one.instance.spec
    const remembered = memory?.embeddings ? { ...memory, embeddings: { ...memory.embeddings, ...model } } : memory
    const packs = Object.entries(one.skills.packs).map(([name, { image: ____, ...pack }]) => [name, pack] as const)
    return {
      ...one,
      instance: {
        ...one.instance,
        spec: { ...one.instance.spec, agents: { default: mended }, ...(remembered && { memory: remembered }) },
      },
      policy: one.policy && { ...one.policy, spec: { ...rules, ...lists } },
      spec: { ...spec, agent: 'default' },
      skills: { packs: Object.fromEntries(packs), configMaps: {} },
    }
  })
type Parts = typeof parts extends fc.Arbitrary<infer P> ? P : never

/** Resolves a run, below `parent` where there is one; undefined when it is refused. */
function start({ spec, ...rest }: Parts, parent?: AgentRun): AgentRun | undefined {
  const below = parent && { parent: { name: parent.metadata.name, depth: depthOf(parent) + 1 } }
  const run: AgentRun = { apiVersion, kind: 'AgentRun', metadata: { name: 'r' }, spec: { ...spec, ...below } }
  const resolution = resolveRun({ ...rest, run, parent })
  if ('refused' in resolution) return undefined
  expect(effectiveSchema.parse(resolution.effective)).toEqual(resolution.effective)
  return { ...run, status: { effective: resolution.effective } }
}

function effectiveOf(run: AgentRun): Effective {
  if (!run.status?.effective) throw new Error('not resolved')
  return run.status.effective
}

const may = (run: Effective, tool: string) =>
  judge(run, tool, { sandbox: run.sandbox !== undefined }).action === 'allow'

/** Everything in which a child could be more than its parent. */
function expectWithin(child: Effective, parent: Effective): void {
  for (const tool of tools) expect(may(child, tool) && !may(parent, tool)).toBe(false)
  for (const bounds of [parent, ...(parent.within ?? [])]) {
    for (const model of [child.model, ...(child.memory?.embeddings ? [child.memory.embeddings] : [])])
      expect(!bounds.modelsAllowed || admitsModel(bounds.modelsAllowed, model)).toBe(true)
    for (const image of [child.image, child.sandbox?.image]) {
      if (!image || Object.values(platform.images).includes(image)) continue
      expect(!bounds.imagesAllowed || admitsImage(bounds.imagesAllowed, image)).toBe(true)
    }
  }
  const reaches = (run: Effective, url: string) => !run.baseURLs || admitsURL(run.baseURLs, url)
  for (const url of urls) expect(reaches(child, url) && !reaches(parent, url)).toBe(false)
  expectLess(child.resources, parent.resources)
  if (child.sandbox) {
    expect(parent.sandbox).toBeDefined()
    expectLess(child.sandbox.resources, parent.sandbox?.resources ?? child.sandbox.resources)
  }
  if (parent.runtimeClassName !== undefined) expect(child.runtimeClassName).toBe(parent.runtimeClassName)
  for (const field of ['maxDepth', 'maxConcurrent', 'maxChildrenPerAgent'] as const)
    expect(child.subagents[field]).toBeLessThanOrEqual(parent.subagents[field])
  for (const field of ['timeoutSeconds', 'maxSteps', 'maxTokens'] as const)
    expect(child.limits[field]).toBeLessThanOrEqual(parent.limits[field])
}

function expectLess(child: Effective['resources'], parent: Effective['resources']): void {
  for (const name of ['cpu', 'memory'] as const) {
    const [least, most] = [child.limits[name], parent.limits[name]]
    if (most !== undefined) expect(least !== undefined && !exceeds(least, most)).toBe(true)
    if (least !== undefined) expect(exceeds(child.requests[name], least)).toBe(false)
  }
}

describe('whatever the schemas accept', () => {
  test('is resolved or refused with a reason, and never thrown', () => {
    let started = 0
    fc.assert(
      fc.property(fc.oneof(parts, likely), (one) => {
        if (start(one)) started++
      }),
      { numRuns: 300 },
    )
    expect(started).toBeGreaterThan(30)
  })

  test('lets no child, nor child of a child, be more than its parent', () => {
    let [children, grandchildren] = [0, 0]
    fc.assert(
      fc.property(likely, likely, likely, fc.boolean(), (first, second, third, samePolicy) => {
        const top = start(first)
        const child = top && start(samePolicy ? { ...second, policy: first.policy } : second, top)
        if (!top || !child) return
        children++
        expectWithin(effectiveOf(child), effectiveOf(top))
        const grandchild = start(third, child)
        if (!grandchild) return
        grandchildren++
        expectWithin(effectiveOf(grandchild), effectiveOf(child))
        expectWithin(effectiveOf(grandchild), effectiveOf(top))
      }),
      { numRuns: 400 },
    )
    expect([children > 25, grandchildren > 2]).toEqual([true, true])
  })
})

describe('narrowing a policy never widens what a run may', () => {
  const narrower = fc.oneof(
    fc.constantFrom(...tools, '*').map((tool) => (spec: ClawPolicy['spec']) => ({
      ...spec,
      toolGating: { ...spec.toolGating, rules: [...spec.toolGating.rules, { tool, action: 'deny' as const }] },
    })),
    fc.nat(3).map((at) => (spec: ClawPolicy['spec']) => ({
      ...spec,
      modelPolicy: { ...spec.modelPolicy, allowed: (spec.modelPolicy?.allowed ?? ['*/*']).toSpliced(at, 1) },
    })),
    fc.nat(3).map((at) => (spec: ClawPolicy['spec']) => ({
      ...spec,
      imagePolicy: { allowed: (spec.imagePolicy?.allowed ?? ['busybox']).toSpliced(at, 1) },
    })),
    fc.nat(3).map((at) => (spec: ClawPolicy['spec']) => ({
      ...spec,
      modelPolicy: { ...spec.modelPolicy, baseURLs: (spec.modelPolicy?.baseURLs ?? urls).toSpliced(at, 1) },
    })),
    fc.constantFrom('1m', '250m', '2').map((maxCPU) => (spec: ClawPolicy['spec']) => ({
      ...spec,
      sandboxPolicy: {
        required: false,
        ...spec.sandboxPolicy,
        maxCPU:
          spec.sandboxPolicy?.maxCPU && exceeds(maxCPU, spec.sandboxPolicy.maxCPU) ? spec.sandboxPolicy.maxCPU : maxCPU,
      },
    })),
    fc.constant((spec: ClawPolicy['spec']) => ({ ...spec, sandboxPolicy: { ...spec.sandboxPolicy, required: true } })),
    fc.constant((spec: ClawPolicy['spec']) => ({ ...spec, featureGates: {} })),
  )

  test('of its deny rules, models, images, URLs, caps and gates', () => {
    fc.assert(
      fc.property(likely, narrower, (one, narrow) => {
        const { policy } = one
        fc.pre(policy !== undefined)
        const after = start({ ...one, policy: { ...policy, spec: narrow(policy.spec) } })
        if (!after) return
        const before = start(one)
        expect(before).toBeDefined()
        if (before) expectWithin(effectiveOf(after), effectiveOf(before))
      }),
      { numRuns: 300 },
    )
  })
})

describe('a child', () => {
  const agents = { default: { model: { provider: 'demo', name: 'demo' } } }
  const one = (changes: { policy?: object; run?: object; agent?: object } = {}): Parts => ({
    instance: {
      apiVersion,
      kind: 'ClawInstance',
      metadata: { name: 'desk' },
      spec: parseSpec(clawInstanceSpec, { agents: { default: { ...agents.default, ...changes.agent } } }),
    },
    policy: {
      apiVersion,
      kind: 'ClawPolicy',
      metadata: { name: 'team', generation: 1 },
      spec: parseSpec(clawPolicySpec, changes.policy ?? {}),
    },
    spec: parseSpec(agentRunSpec, { instanceRef: { name: 'desk' }, task: 'go', ...changes.run }),
    skills: { packs: {}, configMaps: {} },
    platform,
  })
  const top = (changes = {}) => start(one(changes)) as AgentRun
  const resolveBelow = (parent: AgentRun | undefined, said: object, parts = one()) =>
    resolveRun({ ...parts, parent, run: { spec: parseSpec(agentRunSpec, { ...parts.spec, parent: said }) } })

  test('under the same policy carries no second copy of its bounds', () => {
    expect(effectiveOf(start(one(), top()) as AgentRun).within).toBeUndefined()
    expect(effectiveOf(start(one(), top({ run: { toolPolicy: { deny: ['exec'] } } })) as AgentRun).within).toHaveLength(
      1,
    )
  })

  test.each([
    ['whose parent is not there', undefined, { name: 'r', depth: 1 }, 'WrongParent', 'spec.parent'],
    ['that names another run', top(), { name: 'other', depth: 1 }, 'WrongParent', 'spec.parent'],
    ['whose parent is not resolved', { ...top(), status: {} }, { name: 'r', depth: 1 }, 'WrongParent', 'spec.parent'],
    ['that is deeper than one below its parent', top(), { name: 'r', depth: 2 }, 'WrongParent', 'spec.parent'],
    [
      'of a run of another instance',
      { ...top(), spec: { ...top().spec, instanceRef: { name: 'other' } } },
      { name: 'r', depth: 1 },
      'WrongParent',
      'spec.parent',
    ],
    [
      'deeper than its agent may be',
      top({ agent: { subagents: { maxDepth: 0 } } }),
      { name: 'r', depth: 1 },
      'TooDeep',
      'spec.parent.depth',
    ],
  ])('is refused %s', (_, parent, said, reason, field) => {
    expect(resolveBelow(parent, said)).toMatchObject({ refused: { reason, field } })
  })

  test('may be as deep as the lowest of agent, policy and parent, and no deeper', () => {
    const parts = one({ policy: { subagentPolicy: { maxDepth: 1 } } })
    const child = start(parts, start(parts)) as AgentRun
    expect(depthOf(child)).toBe(1)
    expect(start(parts, child)).toBeUndefined()
    expect(start(one(), child)).toBeUndefined()
    expect(start(one(), start(one(), top()))).toBeDefined()
  })

  test('is one of as many as its parent may have, and waits where enough of them run', () => {
    const parent = top({ agent: { subagents: { maxChildrenPerAgent: 2, maxConcurrent: 1 } } })
    expect(mayHaveChild(parent, 1)).toBeUndefined()
    expect(mayHaveChild(parent, 2)).toMatchObject({ reason: 'TooManyChildren', field: 'spec.parent' })
    expect(mayHaveChild({ ...parent, status: {} }, 0)).toMatchObject({ reason: 'TooManyChildren' })
    expect(mayHaveChild(top({ agent: { subagents: { maxDepth: 0 } } }), 0)).toMatchObject({ reason: 'TooDeep' })
    expect([0, 1].map((running) => mayChildStart(effectiveOf(parent), running))).toEqual([true, false])
  })

  test('may not use a model or an image that a run above it might not', () => {
    const strict = top({ policy: { modelPolicy: { allowed: ['demo/demo'] }, imagePolicy: { allowed: [] } } })
    const said = { name: 'r', depth: 1 }
    const other = one({ run: { model: { provider: 'demo', name: 'other' } } })
    expect(resolveBelow(strict, said, other)).toMatchObject({
      refused: { reason: 'ModelNotAllowed', message: expect.stringContaining('binds a run above this one') },
    })
    expect(resolveBelow(strict, said, one({ agent: { image: 'ghcr.io/org/x' } }))).toMatchObject({
      refused: { reason: 'ImageNotAllowed', message: expect.stringContaining('binds a run above this one') },
    })
  })

  test('has the gates that are on for its parent as well, and may call what each policy above allows', () => {
    const sandbox = { enabled: true }
    const open = (gates: object, rules: object[] = []) =>
      one({ agent: { sandbox }, policy: { toolGating: { defaultAction: 'allow', rules }, featureGates: gates } })
    const parent = start(open({ 'code-execution': true }, [{ tool: 'a-tool', action: 'deny' }])) as AgentRun
    const child = effectiveOf(start(open({ 'code-execution': true, 'file-access': true }), parent) as AgentRun)
    expect(child.featureGates).toEqual({ 'code-execution': true, 'file-access': false })
    expect(judge(child, 'read_file', { sandbox: true }).reason).toContain('or above this run')
    expect(judge(child, 'a-tool', { sandbox: true }).reason).toBe(
      'a run above this one may not: rule deny a-tool of policy team',
    )
    expect(may(child, 'exec')).toBe(true)
  })

  test('has no sandbox where its parent has none, and is refused where its policy requires one', () => {
    const agent = { sandbox: { enabled: true } }
    expect(effectiveOf(start(one({ agent }), top()) as AgentRun).sandbox).toBeUndefined()
    const required = one({ agent, policy: { sandboxPolicy: { required: true } } })
    expect(resolveBelow(top(), { name: 'r', depth: 1 }, required)).toMatchObject({
      refused: { reason: 'SandboxRequired' },
    })
  })

  test('stays in the RuntimeClass of its parent', () => {
    const parent = top({ agent: { runtimeClassName: 'gvisor' } })
    expect(effectiveOf(start(one({ agent: { runtimeClassName: 'kata' } }), parent) as AgentRun).runtimeClassName).toBe(
      'gvisor',
    )
    const other = one({ policy: { sandboxPolicy: { runtimeClassName: 'kata' } } })
    expect(resolveBelow(parent, { name: 'r', depth: 1 }, other)).toMatchObject({
      refused: { reason: 'RuntimeClassConflict' },
    })
  })
})
