import * as z from 'zod'
import { agent, imageReference, model, sandbox } from './claw-instance.ts'
import { clawPolicySpec, toolGlob } from './claw-policy.ts'
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

/** What `resolveRun` decided for one run, once; every later decision about the run reads this and nothing else. */
export const effective = z.object({
  agent: dnsLabel,
  model,
  secretRef: localRef.optional().describe('Where the gateway finds the credential of the provider.'),
  image: imageReference,
  command: agent.shape.command,
  args: agent.shape.args,
  sandbox: sandbox.extend({ image: imageReference }).optional(),
  policy: z
    .object({ name: z.string().max(253), generation: z.int().min(0) })
    .describe('The policy that bound; name is empty for the built-in restricted one.'),
  toolGating: clawPolicySpec.shape.toolGating,
  featureGates: clawPolicySpec.shape.featureGates,
  toolPolicy: toolPolicy.optional(),
  limits: z.object({
    timeoutSeconds: z.int().min(1),
    maxSteps: z.int().min(1).describe('Model calls a run may make.'),
    maxTokens: z.int().min(1).describe('Input and output tokens a run may use together.'),
  }),
  skills: z
    .array(
      z.object({ name: dnsLabel, description: z.string().max(1024), configMap: objectName, key: z.string().max(253) }),
    )
    .max(1024)
    .optional(),
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
  const optional = ['sessionKey', 'systemPrompt', 'model', 'toolPolicy', 'timeout', 'ttlSecondsAfterFinished']
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
