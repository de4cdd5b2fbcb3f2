import { type SkillPack, skillPacks } from '#core/kinds'
import { getObject, listObjects, type PrintedOptions } from './objects.ts'
import type { View } from './output.ts'
import { age } from './terminal.ts'

const packView: View<SkillPack> = {
  resource: 'skillpack.k8sclaw.io',
  heads: ['NAME', 'PHASE', 'SKILLS', 'AGE'],
  wideHeads: ['CONFIGMAP', 'NAMES'],
  row: ({ metadata, spec, status }, now) => [
    metadata.name,
    status?.phase ?? 'Pending',
    String(status?.skillCount ?? spec.skills.length),
    age(metadata.creationTimestamp, now),
    status?.configMapName ?? '',
    spec.skills.map(({ name }) => name).join(','),
  ],
}

export const listSkills = (options: PrintedOptions) => listObjects(skillPacks, packView, options)
export const getSkills = (name: string, options: PrintedOptions) => getObject(skillPacks, packView, name, options)
