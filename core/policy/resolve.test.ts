import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  type AgentRun,
  agentRunSpec,
  type ClawInstance,
  type ClawPolicy,
  clawInstanceSpec,
  clawPolicySpec,
  type Effective,
  effective as effectiveSchema,
  parseSpec,
} from '#core/kinds'
import {
  bindingPolicy,
  configMapSource,
  maxSteps,
  maxTokens,
  type Platform,
  packSource,
  refusalReasons,
  resolveRun,
} from './index.ts'

const platform: Platform = {
  isolation: 'kubernetes',
  allowUnconfined: false,
  images: { agent: 'k8sclaw/agent:dev', sandbox: 'k8sclaw/sandbox:dev' },
}
const apiVersion = 'k8sclaw.io/v1alpha1'
const demo = { provider: 'demo', name: 'demo' }
const claude = { provider: 'anthropic', name: 'claude' }

const instance = (spec: object): ClawInstance => ({
  apiVersion,
  kind: 'ClawInstance',
  metadata: { name: 'desk', namespace: 'team' },
  spec: parseSpec(clawInstanceSpec, spec),
})
const run = (spec: object = {}): AgentRun => ({
  apiVersion,
  kind: 'AgentRun',
  metadata: { name: 'r', namespace: 'team', uid: 'u' },
  spec: parseSpec(agentRunSpec, { instanceRef: { name: 'desk' }, task: 'go', ...spec }),
})
const policy: ClawPolicy = {
  apiVersion,
  kind: 'ClawPolicy',
  metadata: { name: 'strict', generation: 7 },
  spec: parseSpec(clawPolicySpec, { featureGates: { 'code-execution': true } }),
}
const skill = (name: string, requires = {}) => ({ name, description: `about ${name}`, content: `# ${name}`, requires })
const resolve = (changes: Partial<Parameters<typeof resolveRun>[0]> = {}) =>
  resolveRun({
    instance: instance({ agents: { default: { model: demo } } }),
    policy: undefined,
    run: run(),
    skills: { packs: {}, configMaps: {} },
    platform,
    ...changes,
  })

describe('resolveRun', () => {
  test('fills in what the run leaves open, and its answer fits the status', () => {
    const resolution = resolve()
    expect(resolution).toEqual({
      effective: {
        agent: 'default',
        model: demo,
        image: 'k8sclaw/agent:dev',
        resources: { requests: { cpu: '50m', memory: '96Mi' }, limits: { memory: '2Gi' } },
        subagents: { maxDepth: 2, maxConcurrent: 5, maxChildrenPerAgent: 3 },
        policy: { name: '', generation: 0 },
        toolGating: { defaultAction: 'deny', rules: [] },
        featureGates: {},
        limits: { timeoutSeconds: 600, maxSteps, maxTokens },
        isolation: 'kubernetes',
      },
    })
    expect('effective' in resolution && effectiveSchema.parse(resolution.effective)).toBeTruthy()
  })

  test("takes the run's agent, model and timeout before the instance's, and the policy that binds", () => {
    const agents = {
      default: { model: demo },
      coder: { model: demo, timeout: '5m', image: 'x/y:1', command: ['run'], args: ['-v'], sandbox: { enabled: true } },
    }
    const resolution = resolve({
      instance: instance({ agents, authRefs: [{ provider: 'anthropic', secretRef: { name: 'key' } }] }),
      policy,
      run: run({ agent: 'coder', model: claude, timeout: '90s', toolPolicy: { deny: ['exec'] } }),
    })
    expect(resolution).toEqual({
      effective: {
        agent: 'coder',
        model: claude,
        secretRef: { name: 'key' },
        image: 'x/y:1',
        command: ['run'],
        args: ['-v'],
        resources: { requests: { cpu: '50m', memory: '96Mi' }, limits: { memory: '2Gi' } },
        sandbox: {
          enabled: true,
          image: 'k8sclaw/sandbox:dev',
          resources: { requests: { cpu: '50m', memory: '64Mi' }, limits: { memory: '2Gi' } },
        },
        subagents: { maxDepth: 2, maxConcurrent: 5, maxChildrenPerAgent: 3 },
        policy: { name: 'strict', generation: 7 },
        toolGating: { defaultAction: 'deny', rules: [] },
        featureGates: { 'code-execution': true },
        toolPolicy: { deny: ['exec'] },
        limits: { timeoutSeconds: 90, maxSteps, maxTokens },
        isolation: 'kubernetes',
      },
    })
  })

  test('names the ConfigMap and key of each skill, in the order of the packs', () => {
    const packs = {
      git: packSource({ skills: [skill('rebase')] }, 'git-1a'),
      ops: packSource({ skills: [skill('deploy')] }, 'ops-2b'),
    }
    const resolution = resolve({
      instance: instance({
        agents: { default: { model: demo } },
        skills: [{ skillPackRef: { name: 'ops' } }, { skillPackRef: { name: 'git' } }],
      }),
      skills: { packs, configMaps: {} },
    })
    expect('effective' in resolution && resolution.effective.skills).toMatchObject([
      { name: 'deploy', description: 'about deploy', configMap: 'ops-2b', key: 'deploy.md' },
      { name: 'rebase', description: 'about rebase', configMap: 'git-1a', key: 'rebase.md' },
    ])
  })

  const withClaude = instance({
    agents: { default: { model: claude } },
    authRefs: [{ provider: 'anthropic', secretRef: { name: 'key' } }],
  })
  const policyOf = (spec: object): ClawPolicy => ({ ...policy, spec: parseSpec(clawPolicySpec, spec) })
  const agentOf = (agent: object) => instance({ agents: { default: { model: demo, ...agent } } })
  const withPacks = (...names: string[]) =>
    instance({
      agents: { default: { model: demo, sandbox: { enabled: true } } },
      skills: names.map((name) => ({ skillPackRef: { name } })),
    })
  const packWith = (image: string, name = 'git') =>
    packSource({ skills: [skill(name)], runtimeRequirements: { image } }, `${name}-1`)
  const onlyOrg = policyOf({ imagePolicy: { allowed: ['ghcr.io/org'] } })
  const capped = policyOf({ sandboxPolicy: { maxCPU: '1', maxMemory: '1Gi' } })
  const unisolated: Platform = { ...platform, isolation: 'none' }

  test.each([
    ['an agent that the instance does not have', { run: run({ agent: 'cook' }) }, 'UnknownAgent', 'spec.agent'],
    [
      'an agent named like a property every object has',
      { run: run({ agent: 'constructor' }) },
      'UnknownAgent',
      'spec.agent',
    ],
    [
      "a provider of the run's own choice without a credential",
      { run: run({ model: claude }) },
      'NoCredential',
      'spec.model.provider',
    ],
    [
      "a provider of the instance's choice without a credential",
      { instance: instance({ agents: { default: { model: claude } } }) },
      'NoCredential',
      undefined,
    ],
    ['a real model where nothing isolates', { instance: withClaude, platform: unisolated }, 'NotIsolated', undefined],
    [
      'two skills of one name',
      {
        instance: instance({
          agents: { default: { model: demo } },
          skills: [{ skillPackRef: { name: 'a' } }, { skillPackRef: { name: 'b' } }],
        }),
        skills: {
          packs: { a: packSource({ skills: [skill('s')] }, 'a-1'), b: packSource({ skills: [skill('s')] }, 'b-1') },
          configMaps: {},
        },
      },
      'DuplicateSkill',
      undefined,
    ],
    [
      "a model of the run's own choice that the policy does not allow",
      { policy: policyOf({ modelPolicy: { allowed: ['demo/small'] } }), run: run({ model: demo }) },
      'ModelNotAllowed',
      'spec.model',
    ],
    [
      'an embeddings model that the policy does not allow',
      {
        policy: policyOf({ modelPolicy: { allowed: ['demo/demo'] } }),
        instance: instance({
          agents: { default: { model: demo } },
          memory: { embeddings: { provider: 'demo', name: 'other', dimensions: 8 } },
        }),
      },
      'ModelNotAllowed',
      undefined,
    ],
    [
      'every model where none is listed',
      { policy: policyOf({ modelPolicy: { allowed: [] } }) },
      'ModelNotAllowed',
      undefined,
    ],
    [
      'an agent without the sandbox that the policy requires',
      { policy: policyOf({ sandboxPolicy: { required: true } }) },
      'SandboxRequired',
      undefined,
    ],
    [
      'an image whose repository only begins like a listed one',
      { policy: onlyOrg, instance: agentOf({ image: 'ghcr.io/org-evil' }) },
      'ImageNotAllowed',
      undefined,
    ],
    [
      'a sandbox image that is not listed',
      { policy: onlyOrg, instance: agentOf({ sandbox: { enabled: true, image: 'ghcr.io/org/x' } }) },
      'ImageNotAllowed',
      undefined,
    ],
    [
      'a sandbox image of a pack that is not listed',
      {
        policy: onlyOrg,
        instance: withPacks('git'),
        skills: { packs: { git: packWith('evil.io/git') }, configMaps: {} },
      },
      'ImageNotAllowed',
      undefined,
    ],
    [
      'two packs that want different sandbox images',
      {
        instance: withPacks('a', 'b'),
        skills: { packs: { a: packWith('x/a'), b: packWith('x/b', 'other') }, configMaps: {} },
      },
      'ConflictingImages',
      undefined,
    ],
    [
      'a request above the cap of the policy',
      { policy: capped, instance: agentOf({ resources: { requests: { cpu: '1001m' } } }) },
      'ResourcesExceeded',
      undefined,
    ],
    [
      'a limit of the sandbox above the cap of the policy',
      { policy: capped, instance: agentOf({ sandbox: { enabled: true, resources: { limits: { memory: '1.1Gi' } } } }) },
      'ResourcesExceeded',
      undefined,
    ],
    [
      'more skills than fit',
      {
        instance: instance({ agents: { default: { model: demo } }, skills: [{ configMapRef: { name: 'many' } }] }),
        skills: {
          packs: {},
          configMaps: {
            many: configMapSource('many', Object.fromEntries([...Array(1025).keys()].map((i) => [`s${i}.md`, 'x']))),
          },
        },
      },
      'TooManySkills',
      undefined,
    ],
  ])('refuses %s', (_, changes, reason, field) => {
    const resolution = resolve(changes)
    expect('refused' in resolution && resolution.refused).toMatchObject({ reason })
    expect('refused' in resolution && resolution.refused.field).toBe(field)
  })

  test('takes resources, classes, secrets and URLs from the agent as far as the policy lets it', () => {
    const wishes = { requests: { cpu: 1 }, limits: { memory: '512Mi' } }
    const spec = instance({
      agents: { default: { model: demo, resources: wishes, runtimeClassName: 'runc', sandbox: { enabled: true } } },
      imagePullSecrets: [{ name: 'registry' }],
    })
    const strict = policyOf({
      sandboxPolicy: { required: true, maxCPU: 1, maxMemory: '1Gi', runtimeClassName: 'gvisor' },
      modelPolicy: { allowed: ['demo/*'], baseURLs: ['https://api.example/v1'] },
      imagePolicy: { allowed: [] },
      subagentPolicy: { maxDepth: 1, maxChildrenPerAgent: 9 },
    })
    expect(resolve({ instance: spec, policy: strict })).toMatchObject({
      effective: {
        resources: { requests: { cpu: '1', memory: '96Mi' }, limits: { cpu: '1', memory: '512Mi' } },
        sandbox: { resources: { requests: { cpu: '50m', memory: '64Mi' }, limits: { cpu: '1', memory: '1Gi' } } },
        runtimeClassName: 'gvisor',
        imagePullSecrets: [{ name: 'registry' }],
        baseURLs: ['https://api.example/v1'],
        modelsAllowed: ['demo/*'],
        imagesAllowed: [],
        subagents: { maxDepth: 1, maxConcurrent: 5, maxChildrenPerAgent: 3 },
      },
    })
    expect(resolve({ instance: spec })).toMatchObject({ effective: { runtimeClassName: 'runc' } })
  })

  test('takes the sandbox image of a pack where the agent names none', () => {
    const skills = { packs: { git: packWith('x/git') }, configMaps: {} }
    expect(resolve({ instance: withPacks('git'), skills })).toMatchObject({
      effective: { sandbox: { image: 'x/git' } },
    })
    const own = {
      ...withPacks('git'),
      spec: { ...withPacks('git').spec, agents: agentOf({ sandbox: { enabled: true, image: 'x/own' } }).spec.agents },
    }
    expect(resolve({ instance: own, skills })).toMatchObject({ effective: { sandbox: { image: 'x/own' } } })
  })

  test('leaves out the skills whose tools the run may not call', () => {
    const packs = { git: packSource({ skills: [skill('read'), skill('write', { tools: ['exec'] })] }, 'git-1') }
    const { effective } = resolve({ instance: withPacks('git'), skills: { packs, configMaps: {} } }) as {
      effective: Effective
    }
    expect(effective.skills?.map(({ name }) => name)).toEqual(['read'])
    expect(effective.skillsLeftOut).toEqual([
      {
        name: 'write',
        reason: 'it requires exec: feature gate code-execution is off in the built-in restricted policy',
      },
    ])
  })

  test.each([
    ['the demo model', { platform: unisolated }],
    ['the images of the platform where none is listed', { policy: policyOf({ imagePolicy: { allowed: [] } }) }],
    [
      'packs that want different images in a run without a sandbox',
      {
        instance: { ...withPacks('a', 'b'), spec: { ...withPacks('a', 'b').spec, agents: agentOf({}).spec.agents } },
        skills: { packs: { a: packWith('x/a'), b: packWith('x/b', 'other') }, configMaps: {} },
      },
    ],
    [
      'a real model that the platform was told to allow',
      { instance: withClaude, platform: { ...unisolated, allowUnconfined: true } },
    ],
    [
      'a real model inside bubblewrap',
      { instance: withClaude, platform: { ...platform, isolation: 'bubblewrap' as const } },
    ],
    [
      'a pack that is not published yet',
      {
        instance: instance({
          agents: { default: { model: demo } },
          skills: [{ skillPackRef: { name: 'constructor' } }],
        }),
      },
    ],
  ])('does not refuse %s', (_, changes) => {
    expect(resolve(changes)).toHaveProperty('effective')
  })
})

test('an instance that names a policy requires it; one that names none is bound by default-policy if it exists', () => {
  expect(bindingPolicy(instance({ agents: { default: { model: demo } }, policyRef: { name: 'p' } }))).toEqual({
    name: 'p',
    required: true,
  })
  expect(bindingPolicy(instance({ agents: { default: { model: demo } } }))).toEqual({
    name: 'default-policy',
    required: false,
  })
})

test('docs/policy.md lists every reason of a refusal, in their order', () => {
  const listed = readFileSync('docs/policy.md', 'utf8').match(/(?<=^\| `)[A-Z][A-Za-z]+(?=` \|)/gm)
  expect(listed).toEqual([...refusalReasons])
})
