import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { type ClawInstance, clawInstanceSpec, parseSpec } from '#core/kinds'
import { configMapSource, packSource } from './index.ts'
import type { Judged } from './judge.ts'
import { chooseSkills, sourcesOf } from './skills.ts'

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const skill = (name: string, requires?: object) => ({
  name,
  description: `about ${name}`,
  content: `# ${name}`,
  ...(requires && { requires }),
})
const judged: Judged = {
  policy: { name: 'team', generation: 1 },
  toolGating: { defaultAction: 'deny', rules: [{ tool: 'exec', action: 'allow' }] },
  featureGates: { 'code-execution': true },
}

describe('a ConfigMap as a source', () => {
  test('has a skill for each key NAME.md, described by its first line with words and pinned by its hash', () => {
    const data = {
      'deploy.md': '\n#  Deploy with care\nSteps.',
      'a.md': '###\n---\n',
      'empty.md': '',
      'long.md': 'x'.repeat(2000),
      'Notes.md': 'not a DNS label',
      'a.b.md': 'nor this',
      '.md': 'nor this',
      'deploy.txt': 'no Markdown',
    }
    const { configMapName, skills } = configMapSource('own', data)
    expect(configMapName).toBe('own')
    expect(
      skills.map(({ name, description, key }) => [
        name,
        description.length > 20 ? description.length : description,
        key,
      ]),
    ).toEqual([
      ['a', '---', 'a.md'],
      ['deploy', 'Deploy with care', 'deploy.md'],
      ['empty', 'empty', 'empty.md'],
      ['long', 1024, 'long.md'],
    ])
    expect(skills[1]?.sha256).toBe(sha256(data['deploy.md']))
  })

  test('without data has none', () => {
    expect(configMapSource('own')).toEqual({ configMapName: 'own', skills: [] })
  })
})

test('a SkillPack as a source has its image, and of each skill the hash of the bytes that will be mounted', () => {
  const spec = {
    skills: [skill('grün'.slice(0, 2), { bins: ['git'] })],
    runtimeRequirements: { image: 'ghcr.io/org/git' },
  }
  expect(packSource(spec, 'p-1')).toEqual({
    configMapName: 'p-1',
    image: 'ghcr.io/org/git',
    skills: [
      { name: 'gr', description: 'about gr', key: 'gr.md', sha256: sha256('# gr'), requires: { bins: ['git'] } },
    ],
  })
})

test('the sources of an instance come in its order, and one that is not there adds nothing', () => {
  const instance: ClawInstance = {
    apiVersion: 'k8sclaw.io/v1alpha1',
    kind: 'ClawInstance',
    metadata: { name: 'desk' },
    spec: parseSpec(clawInstanceSpec, {
      agents: { default: { model: { provider: 'demo', name: 'demo' } } },
      skills: [
        { configMapRef: { name: 'same' } },
        { skillPackRef: { name: 'same' } },
        { skillPackRef: { name: 'constructor' } },
      ],
    }),
  }
  const [own, pack] = [configMapSource('own'), packSource({ skills: [skill('s')] }, 'p-1')]
  expect(sourcesOf(instance, { packs: { same: pack }, configMaps: { same: own } })).toEqual([
    { of: 'ConfigMap same', source: own },
    { of: 'SkillPack same', source: pack },
  ])
})

describe('a run sees a skill', () => {
  const choose = (requires: object | undefined, sandbox: boolean) =>
    chooseSkills([{ source: packSource({ skills: [skill('s', requires)] }, 'p-1') }], judged, { sandbox })

  test.each([
    ['that requires nothing', undefined, false],
    ['whose tools it may call', { tools: ['exec'] }, true],
    ['that requires nothing of either', { tools: [], bins: [] }, false],
  ])('%s', (_, requires, sandbox) => {
    expect(choose(requires, sandbox)).toEqual({
      skills: [{ name: 's', description: 'about s', configMap: 'p-1', key: 's.md', sha256: sha256('# s') }],
    })
  })

  test('with the programs that its sandbox must have', () => {
    expect(choose({ bins: ['git', 'jq'] }, true).skills).toMatchObject([{ bins: ['git', 'jq'] }])
  })

  test.each([
    [{ tools: ['exec'] }, false, 'it requires exec: this run has no sandbox'],
    [{ tools: ['exec', 'other'] }, true, 'it requires other: default action of policy team'],
    [{ bins: ['git'] }, false, 'it requires git, and this run has no sandbox'],
  ])('not where it requires %j, and says why', (requires, sandbox, reason) => {
    expect(choose(requires, sandbox)).toEqual({ skillsLeftOut: [{ name: 's', reason }] })
  })

  test('not, with a reason that fits its field, however long the name of the policy', () => {
    const long = { ...judged, policy: { name: 'p'.repeat(253), generation: 1 } }
    const source = packSource({ skills: [skill('s', { tools: ['other'] })] }, 'p-1')
    expect(chooseSkills([{ source }], long, { sandbox: true }).skillsLeftOut?.[0]?.reason).toHaveLength(256)
  })
})
