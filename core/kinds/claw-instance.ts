import * as z from 'zod'
import { conditions, dnsLabel, duration, type KubeObject, localRef, text, unique } from './meta.ts'

export const providerName = dnsLabel.describe(
  'anthropic, openai, demo (the offline model of the platform), or any name of an OpenAI-compatible service whose Secret holds baseURL.',
)

export const model = z.strictObject({
  provider: providerName,
  name: text(256).min(1).describe('Name of the model as the provider knows it.'),
})
export type Model = z.infer<typeof model>

export const imageReference = z
  .string()
  .min(1)
  .max(512)
  .regex(/^[^\s]+$/)
const argument = text(4096)

export const sandbox = z.strictObject({
  enabled: z
    .boolean()
    .default(false)
    .describe('Whether runs have a sandbox; without one the tools that need it do not exist.'),
  image: imageReference.optional(),
})

export const agent = z.strictObject({
  model,
  systemPrompt: text(32_768).optional(),
  image: imageReference.optional().describe('The container that does the task; without it the agent of the platform.'),
  command: z.array(argument).max(64).optional(),
  args: z.array(argument).max(64).optional(),
  timeout: duration.default('10m').describe('Longest time from the start of a run to its outcome.'),
  sandbox: sandbox.optional(),
})
export type Agent = z.infer<typeof agent>

export const authRef = z.strictObject({
  provider: providerName,
  secretRef: localRef.describe('Secret of this namespace with apiKey and, where wanted, baseURL; for demo, script.'),
})

export const skillRef = z.strictObject({ skillPackRef: localRef })

const maxAgents = 16

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
  maxConcurrentRuns: z
    .int()
    .min(1)
    .max(1000)
    .default(5)
    .describe('How many runs may be Running at once; more wait as Pending.'),
  skills: z
    .array(skillRef)
    .max(16)
    .superRefine(unique('skillPackRef.name', (ref) => ref.skillPackRef.name))
    .optional()
    .meta({
      'x-kubernetes-list-type': 'atomic',
      'x-kubernetes-validations': [
        {
          rule: 'self.all(a, self.exists_one(b, b.skillPackRef.name == a.skillPackRef.name))',
          message: 'no SkillPack may be listed twice',
        },
      ],
    }),
  authRefs: z
    .array(authRef)
    .max(16)
    .superRefine(unique('provider', (ref) => ref.provider))
    .optional()
    .describe('Provider credentials. Only the gateway reads them; they never enter a pod of a run.')
    .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['provider'] }),
  policyRef: localRef
    .optional()
    .describe('The ClawPolicy that binds; without it default-policy, else the built-in restricted one.'),
})
export type ClawInstanceSpec = z.infer<typeof clawInstanceSpec>

export const clawInstanceStatus = z.object({
  phase: z.enum(['Pending', 'Ready', 'Error']).optional(),
  activeRuns: z.int().min(0).optional(),
  conditions: conditions.optional(),
  observedGeneration: z.int().min(0).optional(),
})
export type ClawInstanceStatus = z.infer<typeof clawInstanceStatus>

export interface ClawInstance extends KubeObject {
  spec: ClawInstanceSpec
  status?: ClawInstanceStatus
}
