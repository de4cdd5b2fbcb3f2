import * as z from 'zod'
import { agent, embeddings, maxSubagentDepth, memoryScopes, model, subagents } from './claw-instance.ts'
import { allowedImages, allowedModels, baseURL, clawPolicySpec, maxBaseURLs, toolGlob } from './claw-policy.ts'
import { imageReference } from './image.ts'
import {
  conditions,
  dnsLabel,
  duration,
  type KubeObject,
  localRef,
  objectName,
  text,
  timestamp,
  type ValidationRule,
} from './meta.ts'
import { decidedResources } from './quantity.ts'
import { bins } from './skill-pack.ts'

/** Longest task text, in UTF-16 code units as CRD `maxLength` counts them at most; 128 Ki. */
export const maxTaskLength = 131_072
/** Longest part of a result kept in status, in bytes of UTF-8; the whole of it is in the journal. */
export const maxStatusResultBytes = 8192

export const toolPolicy = z.strictObject({
  allow: z
    .array(toolGlob)
    .max(128)
    .optional()
    .describe('Only tools that match one of these; absent means all that the policy allows.'),
  deny: z.array(toolGlob).max(128).optional().describe('Never tools that match one of these.'),
})

export const agentRunSpec = z
  .strictObject({
    instanceRef: localRef.extend({ name: dnsLabel }).describe('The ClawInstance whose agent does the task.'),
    agent: dnsLabel.default('default').describe('Which agent of the instance.'),
    task: text(maxTaskLength).min(1).describe('What to do.'),
    sessionKey: text(256)
      .min(1)
      .optional()
      .describe('Runs of one instance with the same key run one at a time, in order.'),
    systemPrompt: text(32_768).optional().describe("Replaces the agent's system prompt."),
    model: model.optional().describe("Replaces the agent's model."),
    toolPolicy: toolPolicy.optional().describe('Narrows what the policy allows; it never widens it.'),
    timeout: duration.optional().describe("Replaces the agent's timeout."),
    parent: z
      .strictObject({
        name: objectName.describe('The AgentRun of this namespace that asked for this one.'),
        depth: z
          .int()
          .min(1)
          .max(maxSubagentDepth)
          .describe('One more than that of the parent; without a parent it is 0.'),
      })
      .optional()
      .describe('Written by the platform alone. A child may do nothing that its parent may not.'),
    origin: z
      .strictObject({
        kind: z.enum(['user', 'agent', 'channel']),
        detail: text(1024).describe(
          'Name of the user, or of the run whose agent it was, or of the channel and, behind a slash, the id of who wrote there.',
        ),
        direct: z
          .boolean()
          .optional()
          .describe(
            'Of a channel: whether nobody else is in that chat, so that the run is on behalf of who wrote there.',
          ),
      })
      .optional()
      .describe('Who asked for it. Written by admission and the platform alone.'),
    cancel: z.boolean().optional().describe('Set to true to end the run; it never turns false again.'),
    ttlSecondsAfterFinished: z
      .int()
      .min(0)
      .max(31_536_000)
      .optional()
      .describe('Seconds after its outcome at which the AgentRun is deleted.'),
  })
  .meta({ 'x-kubernetes-validations': immutableBut('cancel') })
export type AgentRunSpec = z.infer<typeof agentRunSpec>

export const phases = ['Pending', 'Running', 'Succeeded', 'Failed', 'Cancelled', 'TimedOut'] as const
export type Phase = (typeof phases)[number]
export const terminalPhases: readonly Phase[] = ['Succeeded', 'Failed', 'Cancelled', 'TimedOut']

/** What of a policy decides about calls, models and images; a child carries those of the runs above it as well. */
const bounds = z.object({
  policy: z
    .object({ name: z.string().max(253), generation: z.int().min(0) })
    .describe('The policy that bound; name is empty for the built-in restricted one.'),
  toolGating: clawPolicySpec.shape.toolGating,
  toolPolicy: toolPolicy.optional(),
  modelsAllowed: allowedModels.optional(),
  imagesAllowed: allowedImages.optional(),
})
export type Bounds = z.infer<typeof bounds>

const effectiveSkill = z.object({
  name: dnsLabel,
  description: z.string().max(1024),
  configMap: objectName,
  key: z.string().max(253),
  sha256: z
    .string()
    .regex(/^[a-f0-9]{64}$/)
    .describe('Of the content as it was when the run was resolved.'),
  bins: bins.optional().describe('Programs without which the sandbox cannot do what the skill says.'),
})

/** What `resolveRun` decided for one run, once; every later decision about the run reads this and nothing else. */
export const effective = bounds.extend({
  agent: dnsLabel,
  model,
  secretRef: localRef.optional().describe('Where the gateway finds the credential of the provider.'),
  baseURLs: z
    .array(baseURL)
    .max(maxBaseURLs * (maxSubagentDepth + 1))
    .optional()
    .describe('Where the provider may be spoken to; absent leaves it to the Secret.'),
  image: imageReference,
  command: agent.shape.command,
  args: agent.shape.args,
  resources: decidedResources,
  sandbox: z.object({ enabled: z.boolean(), image: imageReference, resources: decidedResources }).optional(),
  runtimeClassName: objectName.optional(),
  imagePullSecrets: z.array(localRef).max(16).optional(),
  featureGates: clawPolicySpec.shape.featureGates,
  within: z
    .array(bounds)
    .max(maxSubagentDepth)
    .optional()
    .describe('Bounds of the runs above, where they differ: each of them must allow it as well.'),
  subagents,
  limits: z.object({
    timeoutSeconds: z.int().min(1),
    maxSteps: z.int().min(1).describe('Model calls a run may make.'),
    maxTokens: z.int().min(1).describe('Input and output tokens a run may use together.'),
  }),
  skills: z.array(effectiveSkill).max(1024).optional(),
  skillsLeftOut: z
    .array(z.object({ name: dnsLabel, reason: z.string().max(256) }))
    .max(1024)
    .optional()
    .describe('Skills that the run does not see, because what they require is not there.'),
  memory: z
    .object({
      scopes: z.array(z.enum(memoryScopes)).max(memoryScopes.length),
      user: text(1024).optional().describe('Whose the memories of scope user are; absent where no user asked.'),
      embeddings: embeddings
        .extend({ secretRef: localRef.optional().describe('Where the gateway finds the credential of that provider.') })
        .optional()
        .describe('The model by which memories are compared; absent is that of the platform.'),
    })
    .optional()
    .describe('How far the memories of the run reach; absent is its session.'),
  isolation: z
    .string()
    .max(63)
    .describe('What keeps the containers of the run apart from the machine: kubernetes, bubblewrap or none.'),
})
export type Effective = z.infer<typeof effective>

export const usage = z.object({
  inputTokens: z.int().min(0),
  outputTokens: z.int().min(0),
  modelCalls: z.int().min(0),
  toolCalls: z.int().min(0),
})
export type Usage = z.infer<typeof usage>

export const agentRunStatus = z.object({
  phase: z.enum(phases).optional(),
  reason: z.string().max(128).optional(),
  effective: effective.optional(),
  podName: z.string().max(253).optional(),
  jobName: z.string().max(253).optional(),
  startedAt: timestamp.optional(),
  completedAt: timestamp.optional(),
  attempt: z.int().min(1).optional(),
  result: z
    .string()
    .max(maxStatusResultBytes)
    .optional()
    .describe('The answer, cut at 8 KiB; the whole of it is in the journal.'),
  error: z.string().max(maxStatusResultBytes).optional(),
  exitCode: z.int().optional(),
  usage: usage.optional(),
  conditions: conditions.optional(),
  observedGeneration: z.int().min(0).optional(),
})
export type AgentRunStatus = z.infer<typeof agentRunStatus>

export interface AgentRun extends KubeObject {
  spec: AgentRunSpec
  status?: AgentRunStatus
}

export function isTerminal(phase: Phase | undefined): boolean {
  return phase !== undefined && terminalPhases.includes(phase)
}

/**
 * CEL for a spec that may not change but for one boolean that may only turn true. Optional fields are compared with
 * has(), because reading an absent field is an error in CEL.
 */
function immutableBut(flag: string): ValidationRule[] {
  const required = ['instanceRef', 'task']
  const defaulted = ['agent']
  const optional = [
    'sessionKey',
    'systemPrompt',
    'model',
    'toolPolicy',
    'timeout',
    'parent',
    'origin',
    'ttlSecondsAfterFinished',
  ]
  const same = [
    ...[...required, ...defaulted].map((f) => `self.${f} == oldSelf.${f}`),
    ...optional.map((f) => `has(self.${f}) == has(oldSelf.${f}) && (!has(self.${f}) || self.${f} == oldSelf.${f})`),
    `(!has(oldSelf.${flag}) || !oldSelf.${flag} || (has(self.${flag}) && self.${flag}))`,
  ]
  return [
    {
      rule: same.join(' && '),
      message: `the spec of an AgentRun is immutable, but for ${flag}, which only turns true`,
    },
  ]
}
