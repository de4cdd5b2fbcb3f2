import * as z from 'zod'
import { imageReference } from './image.ts'
import { conditions, dnsLabel, type KubeObject, text, unique } from './meta.ts'

/** Bytes of UTF-8 that the contents of one pack may have together: a ConfigMap holds 1 MiB with its keys. */
export const maxPackBytes = 786_432

/** A program as a shell finds it, without a folder. */
const bin = z
  .string()
  .min(1)
  .max(64)
  .regex(/^[A-Za-z0-9_][A-Za-z0-9_.+-]*$/)
const toolName = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[A-Za-z0-9_.-]+$/)

export const bins = z.array(bin).max(32)
export const skillRequires = z.strictObject({
  bins: bins.optional().describe('Programs that the sandbox must have.'),
  tools: z.array(toolName).max(32).optional().describe('Tools that the run must be allowed to call.'),
})

export const skill = z.strictObject({
  name: dnsLabel.describe('Name of the skill, unique in the pack; the agent finds it under this name.'),
  description: text(1024).min(1).describe('One or two sentences by which an agent decides whether to read the skill.'),
  content: text(262_144).min(1).describe('The skill itself, Markdown.'),
  requires: skillRequires
    .optional()
    .describe('Where this does not hold, the run does not see the skill: it would fail half-way through.'),
})

export const skillPackSpec = z.strictObject({
  skills: z
    .array(skill)
    .min(1)
    .max(64)
    .superRefine(unique('name', (one) => one.name))
    .superRefine((skills, context) => {
      // A structural schema cannot add up, so admission asks this.
      const bytes = skills.reduce((sum, one) => sum + Buffer.byteLength(one.content), 0)
      if (bytes > maxPackBytes)
        context.addIssue({
          code: 'custom',
          message: `the skills have ${bytes} bytes together, at most ${maxPackBytes}`,
        })
    })
    .describe('The skills of the pack, 768 KiB together.')
    .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] }),
  runtimeRequirements: z
    .strictObject({
      image: imageReference.optional().describe('Sandbox image of runs with this pack whose agent names none.'),
    })
    .optional(),
})
export type SkillPackSpec = z.infer<typeof skillPackSpec>

export const skillPackPhase = z.enum(['Pending', 'Ready', 'Error'])

export const skillPackStatus = z.object({
  phase: skillPackPhase.optional(),
  configMapName: z.string().max(253).optional().describe('The ConfigMap that holds the skills, named by their hash.'),
  skillCount: z.int().min(0).optional(),
  conditions: conditions.optional(),
  observedGeneration: z.int().min(0).optional(),
})
export type SkillPackStatus = z.infer<typeof skillPackStatus>

export interface SkillPack extends KubeObject {
  spec: SkillPackSpec
  status?: SkillPackStatus
}
