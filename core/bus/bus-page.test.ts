import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { type BusIdentity, busPermissions, channelSubjects, mintBusKeys, runSubjects } from '#core/identity'
import { streams } from './streams.ts'

const page = readFileSync('docs/bus.md', 'utf8')
const section = (heading: string) => page.split(`\n${heading}\n`)[1]?.split('\n#')[0] ?? ''
const blocks = (heading: string) =>
  [...section(heading).matchAll(/```\n([\s\S]*?)```/g)].map(([, block = '']) => block.trim().split('\n'))
const rows = (heading: string) =>
  [...section(heading).matchAll(/^\| (.+) \|$/gm)].slice(2).map(([, row = '']) => row.split(' | '))

const run = { namespace: 'namespace', instance: 'instance', uid: 'UID' }
const channel = { namespace: 'namespace', instance: 'instance', channel: 'name' }
const names: [string, string][] = [
  ['NAMESPACE', 'namespace'],
  ['INSTANCE', 'instance'],
  ['POLICY', 'policy'],
  ['NAME', 'name'],
]
const expand = (line: string): string[] => {
  const [, group, stream = ''] = /^(reads|manages) (\w+|\*)$/.exec(line) ?? []
  if (!group) return [names.reduce((text, [word, name]) => text.replace(word, name), line)]
  return (blocks(`### ${group}, for each stream`)[0] ?? []).map((rule) => rule.replace('<stream>', stream))
}

describe('docs/bus.md', () => {
  test.each<BusIdentity>([
    { kind: 'bridge', run, policy: 'policy' },
    { kind: 'channel', channel },
    { kind: 'gateway' },
    { kind: 'apiserver' },
    { kind: 'controller' },
  ])('says exactly what a $kind may publish to, and where it listens', (identity) => {
    const { publish, subscribe } = busPermissions(identity, 'KEY')
    expect((blocks(`### ${identity.kind}`)[0] ?? []).flatMap(expand).sort()).toEqual(publish.toSorted())
    const told: Partial<Record<BusIdentity['kind'], string>> = {
      bridge: 'k8sclaw.policies.namespace.policy',
      channel: 'k8sclaw.namespace.instance.run.*.live.model',
    }
    expect(subscribe).toEqual(['_INBOX_KEY.>', ...[told[identity.kind] ?? []].flat()])
  })

  test('says exactly what passes between the two accounts', () => {
    const keys = mintBusKeys()
    const jwt = keys['nats.conf'].match(new RegExp(`${keys['account.public']}: (\\S+)`))?.[1] ?? ''
    const claims = JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString()) as {
      nats: { exports: { subject: string }[] }
    }
    expect(blocks('### bridge')[1]?.sort()).toEqual(claims.nats.exports.map((e) => e.subject).sort())
  })

  test('names every subject of a run and of a channel', () => {
    const prefix = runSubjects(run).journal.slice(0, -'journal'.length)
    const { received, send, health } = channelSubjects(channel)
    const leaves = [
      ...Object.values(runSubjects(run)).map((subject) => `\`${subject.slice(prefix.length)}\``),
      ...[received, send, health].map((subject) => `\`${subject.split('.').at(-1)}\``),
    ]
    expect(
      rows('## Subjects')
        .flatMap(([leaf]) => (leaf?.startsWith('`') ? leaf : []))
        .sort(),
    ).toEqual(leaves.filter((leaf) => !leaf.includes('*')).sort())
  })

  test('names the streams with their subjects and storage', () => {
    const named = rows('## Streams').map(([name, subjects, storage]) => [name, subjects, storage])
    expect(named).toEqual(
      streams.map((s) => [s.name, s.subjects.map((subject) => `\`${subject}\``).join(', '), s.storage]),
    )
  })
})
