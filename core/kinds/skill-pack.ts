import * as z from 'zod'
import { conditions, dnsLabel, type KubeObject, text, unique } from './meta.ts'

/** Bytes of UTF-8 that the contents of one pack may have together: a ConfigMap holds 1 MiB with its keys. */
export const maxPackBytes = 786_432

export const skill = z.strictObject({
  name: dnsLabel.describe('Name of the skill, unique in the pack; the agent finds it under this name.'),
  description: text(1024).min(1).describe('One or two sentences by which an agent decides whether to read the skill.'),
  content: text(262_144).min(1).describe('The skill itself, Markdown.'),
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
