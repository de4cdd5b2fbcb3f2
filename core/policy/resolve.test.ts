import { describe, expect, test } from 'vitest'
import {
  type AgentRun,
  agentRunSpec,
  type ClawInstance,
  type ClawPolicy,
  clawInstanceSpec,
  clawPolicySpec,
  effective as effectiveSchema,
  parseSpec,
} from '#core/kinds'
import { bindingPolicy, maxSteps, maxTokens, type Platform, packSource, resolveRun } from './index.ts'

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
  ])('refuses %s', (_, changes, reason, field) => {
    const resolution = resolve(changes)
    expect('refused' in resolution && resolution.refused).toMatchObject({ reason })
    expect('refused' in resolution && resolution.refused.field).toBe(field)
  })

  test.each([
    ['the demo model', { platform: unisolated }],
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
