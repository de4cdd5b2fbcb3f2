import * as z from 'zod'
import { subagents } from './claw-instance.ts'
import { imageSource } from './image.ts'
import { conditions, type KubeObject, objectName } from './meta.ts'
import { cpuQuantity, memoryQuantity } from './quantity.ts'

/** Names of the feature gates; an absent gate is off, an unknown one is refused. */
export const featureGates = ['code-execution', 'file-access', 'memory'] as const
export type FeatureGate = (typeof featureGates)[number]

/** `*` stands for any run of characters; nothing else is special. */
export const toolGlob = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[A-Za-z0-9_*.-]+$/)
export const toolAction = z.enum(['allow', 'deny'])

export const toolRule = z.strictObject({
  tool: toolGlob.describe('Glob over tool names, * standing for any run of characters.'),
  action: toolAction,
})

export const toolGating = z.strictObject({
  defaultAction: toolAction.default('deny').describe('What happens to a tool that no rule matches.'),
  rules: z
    .array(toolRule)
    .max(256)
    .default([])
    .describe('Among the rules that match a tool, deny beats allow.')
    .meta({ 'x-kubernetes-list-type': 'atomic' }),
})

const gates = z.strictObject(
  Object.fromEntries(featureGates.map((name) => [name, z.boolean().optional()])) as Record<
    FeatureGate,
    z.ZodOptional<z.ZodBoolean>
  >,
)

export const sandboxPolicy = z.strictObject({
  required: z.boolean().default(false).describe('Whether an agent without a sandbox is refused.'),
  maxCPU: cpuQuantity.optional().describe('Most CPU that the agent, and that its sandbox, may request or use.'),
  maxMemory: memoryQuantity
    .optional()
    .describe('Most memory that the agent, and that its sandbox, may request or use.'),
  runtimeClassName: objectName.optional().describe('RuntimeClass of every pod of a run, whatever the agent names.'),
})

/** An agent's own default depth is 2; a policy leaves room above it. */
export const subagentPolicy = subagents.extend({ maxDepth: subagents.shape.maxDepth.unwrap().default(3) })

const modelGlobPattern = '^[a-z0-9*-]{1,63}/[^\\x00]+$'
/** `provider/model`: a slash apart, so that no star reaches from the one into the other. */
export const modelGlob = z
  .string()
  .min(3)
  .max(320)
  .regex(new RegExp(modelGlobPattern), 'must be provider/model, in each of which * stands for any run of characters')

/** Where a provider is spoken to; what lies below it belongs to it. */
export const baseURL = z
  .string()
  .max(256)
  .regex(
    /^https?:\/\/[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?(\/[A-Za-z0-9_.~-]+)*\/?$/,
    'must be an http or https URL of lower-case host, port and plain path',
  )
  .refine((url) => URL.canParse(url), 'must be a URL')

export const allowedImages = z.array(imageSource).max(256)
export const allowedModels = z.array(modelGlob).max(128)
/** As many as fit into the token by which the gateway knows a run, with those of the runs above it. */
export const maxBaseURLs = 16

const days = z.int().min(1).max(3650)

/** How long what was said and done is kept in the database; absent keeps it. */
const retention = z.strictObject({
  sessionsDays: days.optional().describe('Conversations are deleted this many days after they were last used.'),
  recordDays: days
    .optional()
    .describe(
      'What a run did is deleted this many days after its end; what was asked and answered stays with its conversation.',
    ),
})

export const clawPolicySpec = z.strictObject({
  toolGating: toolGating.default({ defaultAction: 'deny', rules: [] }).describe('Which tools a run may use.'),
  featureGates: gates
    .default({})
    .describe(
      'Named sets of tools: code-execution is exec, file-access the file tools, memory the memory tools. An absent gate is off.',
    ),
  sandboxPolicy: sandboxPolicy.optional().describe('Where runs work, and how much of the machine they get.'),
  imagePolicy: z
    .strictObject({
      allowed: allowedImages.describe(
        'Repositories, or repository@digest, that images of agents, sandboxes and skills come from; those of the platform itself always may. A repository is meant whole, never as a beginning.',
      ),
    })
    .optional()
    .describe('Absent allows every image.'),
  subagentPolicy: subagentPolicy
    .optional()
    .describe('How far runs may have runs made for them; absent means 3 deep, 5 at once, 3 children.'),
  modelPolicy: z
    .strictObject({
      allowed: allowedModels.optional().describe('Globs over provider/model; absent allows every model.'),
      baseURLs: z
        .array(baseURL)
        .max(maxBaseURLs)
        .optional()
        .describe('URLs at which, and below which, providers may be spoken to; absent allows what their Secret says.'),
    })
    .optional(),
  retention: retention.optional().describe('How long conversations and records are kept; absent keeps them.'),
})
export type ClawPolicySpec = z.infer<typeof clawPolicySpec>

export const clawPolicyStatus = z.object({
  boundInstances: z.int().min(0).optional().describe('How many instances of the namespace it binds.'),
  conditions: conditions.optional(),
  observedGeneration: z.int().min(0).optional(),
})

export interface ClawPolicy extends KubeObject {
  spec: ClawPolicySpec
  status?: z.infer<typeof clawPolicyStatus>
}

/** The ClawPolicy that binds every instance of a namespace that names no other. */
export const defaultPolicyName = 'default-policy'

/** What binds where no ClawPolicy does: models, and no tool. */
export const restrictedPolicy: ClawPolicySpec = { toolGating: { defaultAction: 'deny', rules: [] }, featureGates: {} }
