import * as z from 'zod'
import { channelStatuses, channels } from './channel.ts'
import { imageReference } from './image.ts'
import {
  conditions,
  dnsLabel,
  duration,
  type KubeObject,
  localRef,
  objectName,
  text,
  unique,
  type ValidationRule,
} from './meta.ts'
import { resources } from './quantity.ts'

export const providerName = dnsLabel.describe(
  'anthropic, openai, demo (the offline model of the platform), or any name of an OpenAI-compatible service whose Secret holds baseURL.',
)

export const model = z.strictObject({
  provider: providerName,
  name: text(256).min(1).describe('Name of the model as the provider knows it.'),
})
export type Model = z.infer<typeof model>

const argument = text(4096)
export const maxSubagentDepth = 8

export const sandbox = z.strictObject({
  enabled: z
    .boolean()
    .default(false)
    .describe('Whether runs have a sandbox; without one the tools that need it do not exist.'),
  image: imageReference.optional().describe('Without it that of its skills, else that of the platform.'),
  resources: resources.optional(),
})

/** How far the runs of an agent may have runs made for them. Whose limit is lower, agent or policy, counts. */
export const subagents = z.strictObject({
  maxDepth: z
    .int()
    .min(0)
    .max(maxSubagentDepth)
    .default(2)
    .describe('How deep below a run that nobody spawned its agent may work: 0 lets it be no child.'),
  maxConcurrent: z
    .int()
    .min(1)
    .max(1000)
    .default(5)
    .describe('How many children of one run may be Running at once; more wait as Pending.'),
  maxChildrenPerAgent: z.int().min(0).max(1000).default(3).describe('How many children one run may have in all.'),
})
export type Subagents = z.infer<typeof subagents>

export const agent = z.strictObject({
  model,
  systemPrompt: text(32_768).optional(),
  image: imageReference.optional().describe('The container that does the task; without it the agent of the platform.'),
  command: z.array(argument).max(64).optional(),
  args: z.array(argument).max(64).optional(),
  timeout: duration.default('10m').describe('Longest time from the start of a run to its outcome.'),
  sandbox: sandbox.optional(),
  resources: resources
    .optional()
    .describe('Of the container that does the task; what is left open the platform decides.'),
  runtimeClassName: objectName.optional().describe("RuntimeClass of the run's pod; that of the policy wins."),
  subagents: subagents.optional(),
})
export type Agent = z.infer<typeof agent>

export const authRef = z.strictObject({
  provider: providerName,
  secretRef: localRef.describe('Secret of this namespace with apiKey and, where wanted, baseURL; for demo, script.'),
})

const oneSource = 'exactly one of skillPackRef and configMapRef is required'
export const skillRef = z
  .strictObject({
    skillPackRef: localRef.optional(),
    configMapRef: localRef
      .optional()
      .describe('ConfigMap of this namespace; each key NAME.md is a skill, described by its first line.'),
  })
  .refine((ref) => (ref.skillPackRef === undefined) !== (ref.configMapRef === undefined), oneSource)
  .meta({
    'x-kubernetes-validations': [{ rule: 'has(self.skillPackRef) != has(self.configMapRef)', message: oneSource }],
  })
export type SkillRef = z.infer<typeof skillRef>

/** CEL: no two references name the same object. */
function noneTwice(field: 'skillPackRef' | 'configMapRef', kind: string): ValidationRule {
  return {
    rule: `self.all(a, !has(a.${field}) || self.exists_one(b, has(b.${field}) && b.${field}.name == a.${field}.name))`,
    message: `no ${kind} may be listed twice`,
  }
}

const maxAgents = 16

/** How far a memory reaches: its conversation, everything that its user asks for, everything of the instance. */
export const memoryScopes = ['session', 'user', 'instance'] as const
export type MemoryScope = (typeof memoryScopes)[number]

/** Providers that have no embeddings to ask for. */
const withoutEmbeddings = 'anthropic'
const noEmbeddings = `the provider ${withoutEmbeddings} has no embeddings`
/** The longest vectors that an index of pgvector takes. */
const maxVectorDimensions = 4000

/** Who makes the vectors by which memories are found by their meaning. */
export const embeddings = z.strictObject({
  provider: providerName
    .refine((provider) => provider !== withoutEmbeddings, noEmbeddings)
    .describe(
      'demo, openai, or any name of an OpenAI-compatible service whose Secret holds baseURL; its key is that of authRefs.',
    )
    .meta({ 'x-kubernetes-validations': [{ rule: `self != '${withoutEmbeddings}'`, message: noEmbeddings }] }),
  name: model.shape.name,
  dimensions: z.int().min(1).max(maxVectorDimensions).describe('Length of its vectors; others are not taken.'),
  shortened: z
    .boolean()
    .default(false)
    .describe('Whether the provider is told to make them that short, which not every model can.'),
})

const memory = z.strictObject({
  scopes: z
    .array(z.enum(memoryScopes))
    .min(1)
    .max(memoryScopes.length)
    .refine((scopes) => new Set(scopes).size === scopes.length, 'no scope may be listed twice')
    .default(['session'])
    .describe('How far what an agent remembers may reach: its session, its user, the whole instance.')
    .meta({ 'x-kubernetes-list-type': 'set' }),
  embeddings: embeddings
    .optional()
    .describe(
      'The model of a provider of this instance by which memories are compared; without it that of the platform.',
    ),
})

export const clawInstanceSpec = z.strictObject({
  agents: z
    .record(dnsLabel, agent)
    .refine((agents) => Object.hasOwn(agents, 'default'), 'an agent named default is required')
    .refine((agents) => Object.keys(agents).length <= maxAgents, `at most ${maxAgents} agents`)
    .describe('Agents by name; runs that name none use default.')
    .meta({
      maxProperties: maxAgents,
      'x-kubernetes-validations': [{ rule: "'default' in self", message: 'an agent named default is required' }],
    }),
  channels: channels.optional(),
  maxConcurrentRuns: z
    .int()
    .min(1)
    .max(1000)
    .default(5)
    .describe('How many runs may be Running at once; more wait as Pending.'),
  skills: z
    .array(skillRef)
    .max(16)
    .superRefine(unique('skillPackRef.name', (ref) => ref.skillPackRef?.name))
    .superRefine(unique('configMapRef.name', (ref) => ref.configMapRef?.name))
    .optional()
    .meta({
      'x-kubernetes-list-type': 'atomic',
      'x-kubernetes-validations': [noneTwice('skillPackRef', 'SkillPack'), noneTwice('configMapRef', 'ConfigMap')],
    }),
  authRefs: z
    .array(authRef)
    .max(16)
    .superRefine(unique('provider', (ref) => ref.provider))
    .optional()
    .describe('Provider credentials. Only the gateway reads them; they never enter a pod of a run.')
    .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['provider'] }),
  memory: memory
    .optional()
    .describe('What runs may remember beyond themselves, where the gate memory is on; without it their session alone.'),
  policyRef: localRef
    .optional()
    .describe('The ClawPolicy that binds; without it default-policy, else the built-in restricted one.'),
  imagePullSecrets: z
    .array(localRef)
    .max(16)
    .superRefine(unique('name', (ref) => ref.name))
    .optional()
    .describe('Secrets of this namespace with which the images of runs are pulled.')
    .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] }),
})
export type ClawInstanceSpec = z.infer<typeof clawInstanceSpec>

export const clawInstanceStatus = z.object({
  phase: z.enum(['Pending', 'Ready', 'Error']).optional(),
  activeRuns: z.int().min(0).optional(),
  channels: channelStatuses.optional(),
  conditions: conditions.optional(),
  observedGeneration: z.int().min(0).optional(),
})
export type ClawInstanceStatus = z.infer<typeof clawInstanceStatus>

export interface ClawInstance extends KubeObject {
  spec: ClawInstanceSpec
  status?: ClawInstanceStatus
}
