import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { buildCommand, buildEnvironment, ConfigError, type EnvSources, expand, fieldOf } from './environment.ts'
import type { Container, KeyValues, Pod } from './objects.ts'

const pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p', namespace: 'n', uid: 'u', labels: { app: 'x', 'a/b': 'c"d' } },
  spec: { containers: [], serviceAccountName: 'sa' },
} as unknown as Pod
const facts = { podIP: '127.1.16.1', hostIP: '127.1.0.1', nodeName: 'node' }
const object = (data: Record<string, string>) => ({ data }) as unknown as KeyValues
const sources: EnvSources = {
  secret: (name) => (name === 's' ? object({ key: Buffer.from('sécret').toString('base64') }) : undefined),
  configMap: (name) => (name === 'c' ? object({ one: '1', two: '2' }) : undefined),
}
const build = (container: Partial<Container>) =>
  buildEnvironment(pod, { name: 'c', image: 'i', ...container }, facts, sources, { PATH: '/bin' })

describe('the environment of a container', () => {
  it('refers to variables before it, and leaves what it does not know', () => {
    const env = build({
      env: [
        { name: 'A', value: 'a' },
        { name: 'B', value: '$(A)-$(C)-$$(A)-$(PATH)' },
        { name: 'C', value: 'c' },
      ],
    })
    expect(env).toEqual({ PATH: '/bin', A: 'a', B: 'a-$(C)-$(A)-/bin', C: 'c' })
  })

  it('takes values from Secrets, ConfigMaps and the pod', () => {
    const env = build({
      envFrom: [{ prefix: 'P_', configMapRef: { name: 'c' } }],
      env: [
        { name: 'S', valueFrom: { secretKeyRef: { name: 's', key: 'key' } } },
        { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
        { name: 'LISTEN', value: '$(IP):8080' },
        { name: 'APP', valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
        { name: 'ABSENT', valueFrom: { configMapKeyRef: { name: 'c', key: 'three', optional: true } } },
      ],
    })
    expect(env).toEqual({
      PATH: '/bin',
      P_one: '1',
      P_two: '2',
      S: 'sécret',
      IP: '127.1.16.1',
      LISTEN: '127.1.16.1:8080',
      APP: 'x',
    })
  })

  it('cannot be made while something that it names is missing', () => {
    const missing = (env: Container['env']) => () => build(env ? { env } : {})
    expect(missing([{ name: 'A', valueFrom: { secretKeyRef: { name: 'x', key: 'k' } } }])).toThrow(
      new ConfigError('secret "x" not found'),
    )
    expect(missing([{ name: 'A', valueFrom: { configMapKeyRef: { name: 'c', key: 'k' } } }])).toThrow(
      new ConfigError(`couldn't find key k in configmap "c"`),
    )
    expect(missing([{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'spec.x' } } }])).toThrow(ConfigError)
  })

  it('shows labels to the downward API as quoted lines in order', () => {
    expect(fieldOf(pod, 'metadata.labels', facts)).toBe('a/b="c\\"d"\napp="x"\n')
  })
})

describe('the command line', () => {
  it.each<[Partial<Container>, string[]]>([
    [{}, ['entry', 'point']],
    [{ args: ['$(A)'] }, ['entry', 'point', 'value']],
    [{ command: ['cmd'] }, ['cmd']],
    [{ command: ['cmd', '$(A)'], args: ['$$(A)'] }, ['cmd', 'value', '$(A)']],
  ])('of %j is %j', (container, expected) => {
    expect(buildCommand(['entry', 'point'], { name: 'c', image: 'i', ...container }, { A: 'value' })).toEqual(expected)
  })

  it('keeps text without a dollar as it is', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        fc.pre(!text.includes('$'))
        return expand(text, { A: 'x' }) === text
      }),
    )
  })
})
