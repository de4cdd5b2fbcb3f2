import { expect, test } from 'vitest'
import { channelTypes } from '#core/kinds'
import { parseManifests } from '../manifest-file.ts'
import { nameOf, readPlatform, withImages } from './manifests.ts'

const strings = (value: unknown): string[] =>
  typeof value === 'string'
    ? [value]
    : typeof value === 'object' && value !== null
      ? Object.values(value).flatMap(strings)
      : []

test('every image of ours comes from the registry and of the version that were asked for, in variables too', () => {
  const plain = readPlatform({})
  const other = readPlatform({
    imagePrefix: 'registry.example/claw',
    tag: 'v1',
    natsImage: 'registry.example/nats:2.11',
  })
  const ours = strings(plain).filter((text) => text.startsWith('k8sclaw/'))
  expect(new Set(ours)).toEqual(
    new Set(
      [
        ...['controller', 'apiserver', 'webhook', 'gateway', 'agent', 'bridge', 'sandbox'],
        ...channelTypes.map((type) => `channel-${type}`),
      ].map((program) => `k8sclaw/${program}:dev`),
    ),
  )
  expect(strings(other).filter((text) => text.startsWith('k8sclaw/'))).toEqual([])
  expect(
    strings(other)
      .filter((text) => text.startsWith('registry.example/claw/'))
      .toSorted(),
  ).toEqual(ours.map((text) => text.replace('k8sclaw/', 'registry.example/claw/').replace(':dev', ':v1')).toSorted())
  expect(strings(other)).toContain('registry.example/nats:2.11')
})

test.each([
  [{ tag: 'a b' }, '--tag: a b cannot be the tag of an image'],
  [{ tag: '' }, '--tag: '],
  [{ tag: `v1@sha256:${'0'.repeat(64)}` }, '--tag: v1@sha256:'],
  [{ imagePrefix: 'Foo Bar' }, '--image-prefix: Foo Bar cannot begin the name of an image'],
  [{ imagePrefix: 'https://registry.example/claw' }, '--image-prefix: '],
  [{ imagePrefix: 'registry.example/claw/' }, '--image-prefix: '],
  [{ imagePrefix: '' }, '--image-prefix: '],
  [{ natsImage: 'nats: 2' }, '--nats-image: nats: 2 cannot be an image'],
])('%j is refused before anything is applied', (images, sentence) => {
  expect(() => readPlatform(images)).toThrow(sentence)
})

test.each([
  { imagePrefix: 'localhost:5000', tag: '2026.1_rc-1' },
  { natsImage: `registry.example:5000/nats:2.11@sha256:${'0'.repeat(64)}` },
])('%j is taken', (images) => {
  expect(readPlatform(images).length).toBeGreaterThan(0)
})

test('what only looks like an image of ours stays as it is', () => {
  const value = { image: 'k8sclaw/agent:v2', note: 'see k8sclaw/agent:dev', list: ['k8sclaw-agent:dev'] }
  expect(withImages(value, { imagePrefix: 'x', tag: 'y' })).toEqual(value)
})

test('a document that is no object, or has no name, is named with its file', () => {
  expect(() => parseManifests('a: [', 'x.yaml')).toThrow(/^x\.yaml:1: /)
  expect(() => parseManifests('kind: Pod', 'x.yaml')).toThrow(
    'x.yaml: a document has no apiVersion, kind or metadata.name',
  )
  expect(parseManifests('---\n# nothing\n---\n', 'x.yaml')).toEqual([])
})

test('objects are named as kubectl names them', () => {
  const of = (apiVersion: string, kind: string) => nameOf({ apiVersion, kind, metadata: { name: 'x', namespace: 'y' } })
  expect([of('v1', 'Service'), of('apps/v1', 'Deployment')]).toEqual(['service/x', 'deployment.apps/x'])
})
