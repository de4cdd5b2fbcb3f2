import { z } from 'zod'
import { conditions, dnsLabel, group, type KubeObject, type Resource, version } from './meta.ts'

export const skill = z.object({
  name: dnsLabel.describe('Name of the skill, unique in the pack; the agent finds it under this name.'),
  description: z
    .string()
    .min(1)
    .max(1024)
    .describe('One or two sentences by which an agent decides whether to read the skill.'),
  content: z.string().min(1).max(262_144).describe('The skill itself, Markdown.'),
})

export const skillPackSpec = z.object({
  skills: z
    .array(skill)
    .min(1)
    .max(64)
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

export const skillPacks: Resource = { group, version, kind: 'SkillPack', plural: 'skillpacks', namespaced: true }
