import * as z from 'zod'
import { conditions, type KubeObject } from './meta.ts'

/** Names of the feature gates; an absent gate is off, an unknown one is refused. */
export const featureGates = ['code-execution', 'file-access'] as const
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

export const clawPolicySpec = z.strictObject({
  toolGating: toolGating.default({ defaultAction: 'deny', rules: [] }).describe('Which tools a run may use.'),
  featureGates: gates
    .default({})
    .describe('Named sets of tools: code-execution is exec, file-access the file tools. An absent gate is off.'),
})
export type ClawPolicySpec = z.infer<typeof clawPolicySpec>

export const clawPolicyStatus = z.object({
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
