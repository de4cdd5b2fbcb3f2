import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { evaluate } from '@marcbachmann/cel-js'
import { Ajv } from 'ajv'
import { describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import type { z } from 'zod'
import {
  agentRunSpec,
  clawInstanceSpec,
  clawPolicySpec,
  customResourceDefinitions,
  durationSeconds,
  maxPackBytes,
  maxTaskLength,
  parseSpec,
  skillPackSpec,
  subagentPolicy,
  subagents,
} from './index.ts'
import type { StructuralSchema } from './structural.ts'

// What Ajv does by default with keywords and formats that it does not know is to throw; a CRD has several.
const ajv = new Ajv({ strict: false, allErrors: true, useDefaults: true, validateFormats: false })

const specs: Record<string, z.ZodType> = {
  AgentRun: agentRunSpec,
  ClawInstance: clawInstanceSpec,
  ClawPolicy: clawPolicySpec,
  SkillPack: skillPackSpec,
}
const object = (kind: string, spec: unknown) => ({
  apiVersion: 'k8sclaw.io/v1alpha1',
  kind,
  metadata: { name: 'x' },
  spec: structuredClone(spec),
})

const demo = { provider: 'demo', name: 'demo' }
const run = { instanceRef: { name: 'desk' }, task: 'say hello' }
const instance = { agents: { default: { model: demo } } }
const pack = { skills: [{ name: 'git', description: 'how to rebase', content: '# Rebase' }] }
const bot = { name: 'chat', type: 'telegram', secretRef: { name: 'bot' } }
const channels = (...list: object[]) => ({ ...instance, channels: list.map((changes) => ({ ...bot, ...changes })) })
const agent = (changes: object) => ({ agents: { default: { model: demo, ...changes } } })
const skills = (...changes: object[]) => ({ skills: changes.map((c) => ({ ...pack.skills[0], ...c })) })

describe('a good spec passes the schema and the CRD', () => {
  test.each([
    ['AgentRun', run],
    ['AgentRun', { ...run, agent: 'coder', sessionKey: 'a b/c', timeout: '1h30m', toolPolicy: { deny: ['*'] } }],
    ['AgentRun', { ...run, task: 'x'.repeat(maxTaskLength), timeout: '168h' }],
    ['ClawInstance', instance],
    ['ClawInstance', { ...agent({ timeout: '1s', sandbox: { enabled: true } }), policyRef: { name: 'a.b' } }],
    ['ClawInstance', { ...instance, skills: [{ skillPackRef: { name: 'a' } }, { skillPackRef: { name: 'b' } }] }],
    ['ClawInstance', { ...instance, skills: [{ skillPackRef: { name: 'a' } }, { configMapRef: { name: 'a' } }] }],
    ['ClawInstance', { ...instance, imagePullSecrets: [{ name: 'registry' }] }],
    ['ClawInstance', agent({ resources: { requests: { cpu: 1 }, limits: { cpu: '1000m', memory: '1.1Gi' } } })],
    ['ClawInstance', agent({ sandbox: { enabled: true, resources: {} }, runtimeClassName: 'gvisor', subagents: {} })],
    ['ClawInstance', channels({}, { name: 'work', type: 'slack' }, { name: 'two', secretRef: { name: 'other' } })],
    ['ClawInstance', channels({ access: { mode: 'allowlist', allow: ['T1/U2', '77'], groups: 'never' } })],
    ['AgentRun', { ...run, parent: { name: 'above', depth: 1 }, origin: { kind: 'agent', detail: 'above' } }],
    ['ClawPolicy', {}],
    ['ClawPolicy', { sandboxPolicy: { required: true, maxCPU: 2, maxMemory: '4Gi' }, subagentPolicy: {} }],
    ['ClawPolicy', { retention: { sessionsDays: 365, recordDays: 1 } }],
    ['ClawPolicy', { modelPolicy: { allowed: ['demo/*'], baseURLs: ['https://api.example:8443/v1/'] } }],
    ['ClawPolicy', { imagePolicy: { allowed: ['ghcr.io/org/x', `x@sha256:${'0'.repeat(64)}`] }, modelPolicy: {} }],
    ['ClawPolicy', { toolGating: { rules: [{ tool: '*_file', action: 'allow' }] } }],
    ['ClawPolicy', { toolGating: { defaultAction: 'allow' }, featureGates: { 'code-execution': true } }],
    ['SkillPack', pack],
    ['SkillPack', skills({ name: 'a' }, { name: 'b' })],
    [
      'SkillPack',
      { ...skills({ requires: { bins: ['g++'], tools: ['exec'] } }), runtimeRequirements: { image: 'x/y' } },
    ],
  ])('%s %#', (kind, spec) => {
    expect(() => parseSpec(specs[kind] as z.ZodType, spec)).not.toThrow()
    expect(admit(object(kind, spec))).toEqual([])
  })
})

describe('a bad spec is refused by the schema and by the CRD, and the message names the field', () => {
  test.each([
    ['AgentRun', { task: 'x' }, 'spec.instanceRef: is required'],
    ['AgentRun', { ...run, instanceRef: { name: 'A.b' } }, 'spec.instanceRef.name'],
    ['AgentRun', { ...run, task: '' }, 'spec.task'],
    ['AgentRun', { ...run, task: 7 }, 'spec.task'],
    ['AgentRun', { ...run, task: 'x'.repeat(maxTaskLength + 1) }, 'spec.task'],
    ['AgentRun', { ...run, task: 'a\0b' }, 'spec.task: must not hold the NUL character'],
    ['AgentRun', { ...run, systemPrompt: '\0' }, 'spec.systemPrompt: must not hold the NUL character'],
    ['AgentRun', { ...run, timeout: '0s' }, 'spec.timeout: must be from 1s to 168h'],
    ['AgentRun', { ...run, timeout: '169h' }, 'spec.timeout: must be from 1s to 168h'],
    ['AgentRun', { ...run, timeout: '10' }, 'spec.timeout'],
    ['AgentRun', { ...run, timeout: '5m1h' }, 'spec.timeout'],
    ['AgentRun', { ...run, toolPolicy: { allow: ['rm -rf'] } }, 'spec.toolPolicy.allow.0'],
    ['ClawPolicy', { retention: { recordDays: 0 } }, 'spec.retention.recordDays'],
    ['ClawInstance', {}, 'spec.agents: is required'],
    ['ClawInstance', { agents: { coder: { model: demo } } }, 'spec.agents: an agent named default is required'],
    [
      'ClawInstance',
      { agents: { ...instance.agents, 'a.b': { model: demo } } },
      'spec.agents.a.b: not an allowed name',
    ],
    ['ClawInstance', { agents: { ...instance.agents, ['a'.repeat(64)]: { model: demo } } }, 'not an allowed name'],
    [
      'ClawInstance',
      { agents: Object.fromEntries([...Array(17).keys()].map((i) => [i ? `a${i}` : 'default', { model: demo }])) },
      'spec.agents: at most 16 agents',
    ],
    ['ClawInstance', agent({ model: { provider: 'demo' } }), 'spec.agents.default.model.name: is required'],
    ['ClawInstance', agent({ timeout: '0h0m0s' }), 'spec.agents.default.timeout'],
    ['ClawInstance', { ...instance, maxConcurrentRuns: 0 }, 'spec.maxConcurrentRuns'],
    [
      'ClawInstance',
      { ...instance, skills: [{ skillPackRef: { name: 'a' } }, { skillPackRef: { name: 'a' } }] },
      'spec.skills.1.skillPackRef.name: a is listed twice',
    ],
    [
      'ClawInstance',
      { ...instance, skills: [{}] },
      'spec.skills.0: exactly one of skillPackRef and configMapRef is required',
    ],
    [
      'ClawInstance',
      { ...instance, skills: [{ skillPackRef: { name: 'a' }, configMapRef: { name: 'a' } }] },
      'spec.skills.0: exactly one of skillPackRef and configMapRef is required',
    ],
    [
      'ClawInstance',
      { ...instance, skills: [{ configMapRef: { name: 'a' } }, { configMapRef: { name: 'a' } }] },
      'spec.skills.1.configMapRef.name: a is listed twice',
    ],
    ['ClawInstance', agent({ image: 'Not An Image' }), 'spec.agents.default.image: must be an image'],
    ['ClawInstance', agent({ resources: { limits: { cpu: 'much' } } }), 'spec.agents.default.resources.limits.cpu'],
    ['ClawInstance', agent({ subagents: { maxConcurrent: 0 } }), 'spec.agents.default.subagents.maxConcurrent'],
    ['ClawInstance', agent({ subagents: { maxDepth: 9 } }), 'spec.agents.default.subagents.maxDepth'],
    ['ClawInstance', channels({ name: 'A.b' }), 'spec.channels.0.name'],
    ['ClawInstance', channels({ type: 'irc' }), 'spec.channels.0.type'],
    ['ClawInstance', channels({ secretRef: {} }), 'spec.channels.0.secretRef.name: is required'],
    ['ClawInstance', channels({ access: { mode: 'all' } }), 'spec.channels.0.access.mode'],
    ['ClawInstance', channels({ access: { allow: ['two words'] } }), 'spec.channels.0.access.allow.0: must be the id'],
    [
      'ClawInstance',
      channels({}, { name: 'again' }),
      'spec.channels.1.secretRef.name: no two channels of a type may have the same Secret',
    ],
    [
      'ClawInstance',
      channels(...[...Array(17).keys()].map((i) => ({ name: `c${i}`, secretRef: { name: `s${i}` } }))),
      'spec.channels',
    ],
    ['AgentRun', { ...run, parent: { name: 'above', depth: 0 } }, 'spec.parent.depth'],
    ['AgentRun', { ...run, origin: { kind: 'platform', detail: '' } }, 'spec.origin.kind'],
    ['ClawPolicy', { imagePolicy: { allowed: ['x:1'] } }, 'spec.imagePolicy.allowed.0: must be a repository'],
    ['ClawPolicy', { imagePolicy: {} }, 'spec.imagePolicy.allowed: is required'],
    ['ClawPolicy', { modelPolicy: { allowed: ['claude'] } }, 'spec.modelPolicy.allowed.0: must be provider/model'],
    ['ClawPolicy', { modelPolicy: { baseURLs: ['https://me@api.example'] } }, 'spec.modelPolicy.baseURLs.0'],
    ['ClawPolicy', { modelPolicy: { baseURLs: ['ftp://api.example'] } }, 'spec.modelPolicy.baseURLs.0'],
    ['SkillPack', skills({ requires: { bins: ['/bin/sh'] } }), 'spec.skills.0.requires.bins.0'],
    ['SkillPack', skills({ requires: { tools: ['*'] } }), 'spec.skills.0.requires.tools.0'],
    ['ClawPolicy', { toolGating: { defaultAction: 'ask' } }, 'spec.toolGating.defaultAction'],
    ['ClawPolicy', { toolGating: { rules: [{ tool: '*' }] } }, 'spec.toolGating.rules.0.action'],
    ['ClawPolicy', { featureGates: { 'code-execution': 'yes' } }, 'spec.featureGates.code-execution'],
    ['SkillPack', { skills: [] }, 'spec.skills'],
    ['SkillPack', skills({ content: '' }), 'spec.skills.0.content'],
    ['SkillPack', skills({ name: '../x' }), 'spec.skills.0.name'],
  ])('%s %#: %j', (kind, spec, message) => {
    expect(() => parseSpec(specs[kind] as z.ZodType, spec)).toThrow(message)
    expect(admit(object(kind, spec))).not.toEqual([])
  })
})

describe('what a structural schema cannot say is refused by parseSpec, which admission calls', () => {
  test.each([
    ['AgentRun', { ...run, tsak: 'x' }, 'spec.tsak: unknown field'],
    ['AgentRun', { ...run, model: { ...demo, temperature: 1 } }, 'spec.model.temperature: unknown field'],
    ['ClawInstance', agent({ sandbox: { enable: true } }), 'spec.agents.default.sandbox.enable: unknown field'],
    ['ClawPolicy', { featureGates: { telepathy: true } }, 'spec.featureGates.telepathy: unknown field'],
    [
      'ClawPolicy',
      { toolGating: { rules: [{ tool: '*', action: 'deny', when: 'x' }] } },
      'rules.0.when: unknown field',
    ],
    ['SkillPack', skills({ extra: 1 }), 'spec.skills.0.extra: unknown field'],
    ['SkillPack', skills({}, {}), 'spec.skills.1.name: git is listed twice'],
    [
      'ClawInstance',
      { ...instance, authRefs: ['a', 'b'].map((name) => ({ provider: 'openai', secretRef: { name } })) },
      'spec.authRefs.1.provider: openai is listed twice',
    ],
    [
      'ClawInstance',
      agent({ resources: { requests: { memory: '1Gi' }, limits: { memory: '1G' } } }),
      'spec.agents.default.resources.requests.memory: must be at most the limit, 1G',
    ],
    ['ClawInstance', channels({}, { secretRef: { name: 'other' } }), 'spec.channels.1.name: chat is listed twice'],
    ['ClawInstance', channels({ access: { allow: ['7', '7'] } }), 'spec.channels.0.access.allow: no sender may be'],
    ['ClawInstance', channels({ access: { allowed: [] } }), 'spec.channels.0.access.allowed: unknown field'],
    ['ClawPolicy', { sandboxPolicy: { maxCPU: '0' } }, 'spec.sandboxPolicy.maxCPU: must be at least 1m'],
    ['ClawPolicy', { modelPolicy: { baseURLs: ['https://x:99999'] } }, 'spec.modelPolicy.baseURLs.0: must be a URL'],
    [
      'ClawInstance',
      { ...instance, imagePullSecrets: [{ name: 'a' }, { name: 'a' }] },
      'spec.imagePullSecrets.1.name: a is listed twice',
    ],
    [
      'SkillPack',
      skills(...[...Array(5).keys()].map((i) => ({ name: `s${i}`, content: 'ä'.repeat(maxPackBytes / 8) }))),
      `at most ${maxPackBytes}`,
    ],
  ])('%s %#: %j', (kind, spec, message) => {
    expect(() => parseSpec(specs[kind] as z.ZodType, spec)).toThrow(message)
  })

  test('a long list of problems is named in part and counted in whole', () => {
    const spec = Object.fromEntries([...Array(20).keys()].map((i) => [`f${i}`, 1]))
    expect(() => parseSpec(agentRunSpec, { ...run, ...spec })).toThrow(
      'spec.f0: unknown field (and 19 more: spec.f1, spec.f2, spec.f3, spec.f4, spec.f5)',
    )
  })
})

describe("an AgentRun's spec", () => {
  const full = {
    ...run,
    agent: 'default',
    sessionKey: 's',
    systemPrompt: 'p',
    model: demo,
    toolPolicy: { allow: ['exec'], deny: [] },
    timeout: '5m',
    parent: { name: 'above', depth: 1 },
    origin: { kind: 'user', detail: 'ann' },
    ttlSecondsAfterFinished: 60,
  }
  const changed: Record<string, unknown> = {
    instanceRef: { name: 'other' },
    task: 'other',
    agent: 'other',
    sessionKey: 'other',
    systemPrompt: 'other',
    model: { ...demo, name: 'other' },
    toolPolicy: { allow: ['exec', '*'], deny: [] },
    timeout: '6m',
    parent: { name: 'above', depth: 2 },
    origin: { kind: 'user', detail: 'bob' },
    ttlSecondsAfterFinished: 61,
  }
  const update = (before: object, after: object) => admit(object('AgentRun', after), object('AgentRun', before))
  const optional = Object.keys(full).filter((f) => !['instanceRef', 'task', 'agent'].includes(f))
  const without = (field: string) => Object.fromEntries(Object.entries(full).filter(([f]) => f !== field))

  test('has no field that the immutability rule forgets', () => {
    expect(Object.keys(agentRunSpec.shape).sort()).toEqual([...Object.keys(full), 'cancel'].sort())
  })

  test('may be written again as it is, with every field and with none of the optional ones', () => {
    expect(update(full, full)).toEqual([])
    expect(update({ ...run, agent: 'default' }, { ...run, agent: 'default' })).toEqual([])
  })

  test.each(Object.keys(full))('may not change in %s', (field) => {
    expect(update(full, { ...full, [field]: changed[field] })).toHaveLength(1)
  })

  test.each(optional)('may neither gain nor lose %s', (field) => {
    expect(update(without(field), full)).toHaveLength(1)
    expect(update(full, without(field))).toHaveLength(1)
  })

  test.each([
    [undefined, true, true],
    [undefined, false, true],
    [false, true, true],
    [false, undefined, true],
    [true, true, true],
    [true, false, false],
    [true, undefined, false],
  ])('may turn cancel from %s to %s: %s', (before, after, allowed) => {
    const spec = (cancel: boolean | undefined) => ({ ...full, ...(cancel !== undefined && { cancel }) })
    expect(update(spec(before), spec(after))).toHaveLength(allowed ? 0 : 1)
  })
})

test('an instance name that would shift a bus subject is refused by the CRD', () => {
  expect(admit({ ...object('ClawInstance', instance), metadata: { name: 'a.b' } })).toHaveLength(1)
})

test('a channel that says nothing of access asks strangers for a code and listens where it is spoken to', () => {
  const stored = object('ClawInstance', channels({}))
  expect(admit(stored)).toEqual([])
  const wanted = [{ ...bot, access: { mode: 'pairing', groups: 'mention' } }]
  expect((stored.spec as { channels: unknown }).channels).toEqual(wanted)
  expect(clawInstanceSpec.parse(channels({})).channels).toEqual(wanted)
})

test('a policy that is silent about children leaves more room than an agent that is', () => {
  expect(subagents.parse({})).toEqual({ maxDepth: 2, maxConcurrent: 5, maxChildrenPerAgent: 3 })
  expect(subagentPolicy.parse({})).toEqual({ maxDepth: 3, maxConcurrent: 5, maxChildrenPerAgent: 3 })
})

test.each([
  ['90s', 90],
  ['10m', 600],
  ['1h30m', 5400],
  ['1h0m1s', 3601],
  ['168h', 604_800],
])('%s is %d seconds', (text, seconds) => {
  expect(durationSeconds(text)).toBe(seconds)
})

describe('every sample in config/samples', () => {
  const folder = 'config/samples'
  const documents = (existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }) : [])
    .filter((file) => file.endsWith('.yaml'))
    .flatMap((file) =>
      parseAllDocuments(readFileSync(`${folder}/${file}`, 'utf8')).map((d) => [file, d.toJS()] as const),
    )
    .filter(([, sample]) => sample?.apiVersion === 'k8sclaw.io/v1alpha1')

  test('exists for each kind', () => {
    expect(new Set(documents.map(([, sample]) => sample.kind))).toEqual(new Set(Object.keys(specs)))
  })

  test.each(documents)('in %s passes the schema and the CRD', (_, sample) => {
    expect(() => parseSpec(specs[sample.kind] as z.ZodType, sample.spec)).not.toThrow()
    expect(admit(sample)).toEqual([])
  })
})

/**
 * What an API server would say to an object of one of our kinds, from the generated CRD alone: the messages of its
 * schema and of its CEL rules, none when it would be stored. Defaults are filled in, unknown fields are left alone.
 */
function admit(object: Record<string, unknown>, old?: Record<string, unknown>): string[] {
  const schema = schemaOf(String(object.kind))
  const validate = ajv.compile(schema)
  if (!validate(object)) return (validate.errors ?? []).map((e) => `${e.instancePath} ${e.message}`)
  return rulesBroken(schema, object, old, '')
}

function schemaOf(kind: string): StructuralSchema {
  for (const definition of customResourceDefinitions().values()) {
    const spec = definition.spec as {
      names: { kind: string }
      versions: { schema: { openAPIV3Schema: StructuralSchema } }[]
    }
    const schema = spec.versions[0]?.schema.openAPIV3Schema
    if (spec.names.kind === kind && schema) return schema
  }
  throw new Error(`no kind ${kind}`)
}

/** CEL as a CRD has it: rules with oldSelf are asked on update only. */
function rulesBroken(schema: StructuralSchema, self: unknown, oldSelf: unknown, path: string): string[] {
  const rules = (schema['x-kubernetes-validations'] ?? []) as { rule: string; message: string }[]
  const broken = rules
    .filter(({ rule }) => !rule.includes('oldSelf') || oldSelf !== undefined)
    .filter(({ rule }) => evaluate(rule, { self, oldSelf }) !== true)
    .map(({ message }) => `${path} ${message}`)
  const children = Array.isArray(self)
    ? self.map((child, i) => [String(i), child, schema.items] as const)
    : typeof self === 'object' && self !== null
      ? Object.entries(self).map(
          ([k, child]) => [k, child, schema.properties?.[k] ?? schema.additionalProperties] as const,
        )
      : []
  return [
    ...broken,
    ...children.flatMap(([key, child, its]) =>
      its ? rulesBroken(its, child, (oldSelf as Record<string, unknown> | undefined)?.[key], `${path}/${key}`) : [],
    ),
  ]
}
