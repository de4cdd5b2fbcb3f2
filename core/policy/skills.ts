import { createHash } from 'node:crypto'
import type { ClawInstance, Effective, SkillPackSpec, SkillRef } from '#core/kinds'
import { dnsLabel } from '#core/kinds'
import { type Judged, judge } from './judge.ts'

/** One skill as a ConfigMap holds it. */
export interface SourceSkill {
  name: string
  description: string
  /** The key of its ConfigMap. */
  key: string
  /** Of its content, hexadecimal. */
  sha256: string
  requires?: SkillPackSpec['skills'][number]['requires']
}

/** Skills that lie in one ConfigMap: a SkillPack as published, or a ConfigMap that an instance names itself. */
export interface SkillSource {
  configMapName: string
  /** The sandbox image that they want. */
  image?: string
  skills: readonly SourceSkill[]
}

/** Where the skills of an instance are found, by name. One that is not here adds none: who starts a run waits first. */
export interface SkillSources {
  packs: Readonly<Record<string, SkillSource>>
  configMaps: Readonly<Record<string, SkillSource>>
}

/** A SkillPack as a source; `configMapName` is empty where it is not published yet and only judged. */
export function packSource(spec: SkillPackSpec, configMapName: string): SkillSource {
  const { image } = spec.runtimeRequirements ?? {}
  return {
    configMapName,
    ...(image !== undefined && { image }),
    skills: spec.skills.map(({ name, description, content, requires }) => ({
      name,
      description,
      key: `${name}.md`,
      sha256: sha256(content),
      ...(requires && { requires }),
    })),
  }
}

/** A ConfigMap as a source: each key `NAME.md`, where NAME is a DNS label, described by its first line with words. */
export function configMapSource(configMapName: string, data: Readonly<Record<string, string>> = {}): SkillSource {
  const skills = Object.entries(data).flatMap(([key, content]) => {
    const name = key.endsWith('.md') ? key.slice(0, -'.md'.length) : ''
    if (!dnsLabel.safeParse(name).success) return []
    return [{ name, description: firstLine(content) || name, key, sha256: sha256(content) }]
  })
  return { configMapName, skills: skills.sort((a, b) => (a.name < b.name ? -1 : 1)) }
}

/** As much of a first line as a description may have. */
const maxDescription = 1024

function firstLine(content: string): string {
  const line = content.split('\n').find((one) => /[^#\s]/.test(one)) ?? ''
  return line
    .replace(/^[#\s]+/, '')
    .trimEnd()
    .slice(0, maxDescription)
}

function sha256(content: string): string {
  return createHash('sha256').update(content).digest('hex')
}

/** The sources that an instance names and that are there, in its order, each with its name as a person would say it. */
export function sourcesOf(instance: ClawInstance, sources: SkillSources): { of: string; source: SkillSource }[] {
  return (instance.spec.skills ?? []).flatMap((ref) => {
    const source = find(ref, sources)
    const of = ref.skillPackRef ? `SkillPack ${ref.skillPackRef.name}` : `ConfigMap ${ref.configMapRef?.name}`
    return source ? [{ of, source }] : []
  })
}

function find({ skillPackRef, configMapRef }: SkillRef, { packs, configMaps }: SkillSources): SkillSource | undefined {
  const [all, name] = skillPackRef ? [packs, skillPackRef.name] : [configMaps, configMapRef?.name ?? '']
  return Object.hasOwn(all, name) ? all[name] : undefined
}

/** The skills that a run sees, and those that it does not because what they require is not there. */
export function chooseSkills(
  sources: readonly { source: SkillSource }[],
  judged: Judged,
  facts: { sandbox: boolean },
): Pick<Effective, 'skills' | 'skillsLeftOut'> {
  const skills: NonNullable<Effective['skills']> = []
  const leftOut: NonNullable<Effective['skillsLeftOut']> = []
  for (const { source } of sources) {
    for (const { name, description, key, sha256, requires } of source.skills) {
      const reason = missing(requires, judged, facts)
      const bins = requires?.bins ?? []
      if (reason !== undefined) leftOut.push({ name, reason: reason.slice(0, 256) })
      else
        skills.push({
          name,
          description,
          configMap: source.configMapName,
          key,
          sha256,
          ...(bins.length > 0 && { bins: [...bins] }),
        })
    }
  }
  return { ...(skills.length > 0 && { skills }), ...(leftOut.length > 0 && { skillsLeftOut: leftOut }) }
}

function missing(requires: SourceSkill['requires'], judged: Judged, facts: { sandbox: boolean }): string | undefined {
  for (const tool of requires?.tools ?? []) {
    const { action, reason } = judge(judged, tool, facts)
    if (action !== 'allow') return `it requires ${tool}: ${reason}`
  }
  const [bin] = requires?.bins ?? []
  return bin !== undefined && !facts.sandbox ? `it requires ${bin}, and this run has no sandbox` : undefined
}
