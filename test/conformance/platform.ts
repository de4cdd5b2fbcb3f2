import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { specs } from '../support/arbitrary.ts'
import type { Cluster, Json } from './cluster.ts'

const config = resolve(import.meta.dirname, '..', '..', 'config')
const definitions = readdirSync(join(config, 'crd', 'bases')).map(
  (name) => parse(readFileSync(join(config, 'crd', 'bases', name), 'utf8')) as Json,
)
const samples = readdirSync(join(config, 'samples'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.yaml'))
  .flatMap((name) =>
    parseAllDocuments(readFileSync(join(config, 'samples', name), 'utf8')).map((one) => one.toJS() as Json),
  )
const crds = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const ours = '/apis/k8sclaw.io/v1alpha1/namespaces/platform'

/** Our own kinds, manifests and samples. */
export function platform(cluster: Cluster): void {
  describe('the platform', () => {
    beforeAll(() => cluster.makeNamespace('platform'))

    test.each(definitions.map((one) => [one.metadata.name as string, one]))(
      'the definition of %s is accepted as it is and established',
      async (name, definition) => {
        const answer = await cluster.post(`${crds}?fieldValidation=Strict`, definition)
        expect(answer.json.message).toBeUndefined()
        expect([answer.status, answer.headers.warning]).toEqual([201, undefined])
        await expect
          .poll(async () => (await cluster.get(`${crds}/${name}`)).json.status.conditions, { timeout: 30_000 })
          .toEqual([
            expect.objectContaining({ type: 'NamesAccepted', status: 'True' }),
            expect.objectContaining({ type: 'Established', status: 'True' }),
          ])
      },
    )

    test('the manifests of the platform are accepted by a dry run and applied', async () => {
      const file = join(config, 'rendered', 'standalone.yaml')
      await cluster.kubectl(['create', 'namespace', 'k8sclaw-system'])
      const checked = await cluster.kubectl(['apply', '--dry-run=server', '-f', file])
      expect(unexpected(checked)).toEqual([])
      const applied = await cluster.kubectl(['apply', '-f', file])
      expect(unexpected(applied)).toEqual([])
      expect(await cluster.tryKubectl(['diff', '-f', file])).toEqual({ code: 0, stdout: '', stderr: '' })
      // Nobody answers for the webhook in this suite.
      const configurations = 'mutatingwebhookconfiguration,validatingwebhookconfiguration'
      await cluster.kubectl(`delete ${configurations} k8sclaw-webhook --ignore-not-found`)
    })

    test.each(samples.map((one) => [`${one.kind} ${one.metadata.name}`, one]))(
      'the sample %s fits its schema',
      async (_name, sample) => {
        const plural = definitions.find((one) => one.spec.names.kind === sample.kind)?.spec.names.plural
        const path = plural ? `${ours}/${plural}` : `/api/v1/namespaces/platform/${sample.kind.toLowerCase()}s`
        const answer = await cluster.post(`${path}?fieldValidation=Strict&dryRun=All`, {
          ...sample,
          metadata: { ...sample.metadata, namespace: 'platform' },
        })
        expect(answer.json.message).toBeUndefined()
        expect(answer.status).toBe(201)
      },
    )

    test.each(Object.keys(specs) as (keyof typeof specs)[])(
      'every spec of %s that our schema accepts is accepted',
      async (kind) => {
        const plural = definitions.find((one) => one.spec.names.kind === kind)?.spec.names.plural
        const create = async (spec: unknown) => {
          const object = { apiVersion: 'k8sclaw.io/v1alpha1', kind, metadata: { name: 'any' }, spec }
          const answer = await cluster.post(`${ours}/${plural}?fieldValidation=Strict&dryRun=All`, object)
          expect([answer.status, answer.json.message]).toEqual([201, undefined])
        }
        await fc.assert(fc.asyncProperty(specs[kind] as fc.Arbitrary<unknown>, create), { numRuns: 50 })
      },
      60_000,
    )

    describe('a ClawInstance', () => {
      const create = (name: string, changes: object = {}) => {
        const agent = { model: { provider: 'demo', name: 'demo' }, ...changes }
        const object = {
          apiVersion: 'k8sclaw.io/v1alpha1',
          kind: 'ClawInstance',
          metadata: { name },
          spec: { agents: { default: agent } },
        }
        return cluster.post(`${ours}/clawinstances?dryRun=All`, object)
      }

      test.each(['a.b', 'a'.repeat(64)])('may not be called %s, and the cause names the field', async (name) => {
        const { json } = await create(name)
        const sentence = 'the name of a ClawInstance must be a DNS label: at most 63 characters and no dot'
        expect(json).toMatchObject({ code: 422, reason: 'Invalid' })
        expect(json.details.causes).toEqual([
          { reason: 'FieldValueInvalid', message: `Invalid value: ${sentence}`, field: 'metadata.name' },
        ])
      })

      test('may write an amount as a number, and not as a word', async () => {
        const resources = (cpu: unknown) => ({ resources: { limits: { cpu, memory: '1Gi' } } })
        expect((await create('desk', resources(2))).json.spec.agents.default.resources.limits.cpu).toBe(2)
        const { json } = await create('desk', resources('much'))
        expect(json.details.causes[0]).toMatchObject({ field: 'spec.agents.default.resources.limits.cpu' })
      })
    })

    describe('an AgentRun', () => {
      const path = `${ours}/agentruns`
      const message =
        'AgentRun.k8sclaw.io "fixed" is invalid: spec: Invalid value: the spec of an AgentRun is immutable, but for cancel, which only turns true'
      const run = (name: string, spec: object) => ({
        apiVersion: 'k8sclaw.io/v1alpha1',
        kind: 'AgentRun',
        metadata: { name },
        spec,
      })
      beforeAll(() => cluster.make(path, run('fixed', { instanceRef: { name: 'demo' }, task: 'think' })))

      test('gets its defaults', async () => {
        const { json } = await cluster.get(`${path}/fixed`)
        expect(json.spec).toEqual({ instanceRef: { name: 'demo' }, task: 'think', agent: 'default' })
      })

      test.each([
        ['task', { task: 'other' }],
        ['agent', { agent: 'other' }],
        ['instanceRef', { instanceRef: { name: 'other' } }],
        ['an added field', { timeout: '5m' }],
        ['an added object', { model: { provider: 'demo', name: 'x' } }],
      ])('keeps its spec: %s', async (_what, spec) => {
        const answer = await cluster.patch(`${path}/fixed`, 'merge', { spec })
        expect(answer.json).toMatchObject({ code: 422, reason: 'Invalid', message })
      })

      test('can be cancelled, and never again be uncancelled', async () => {
        expect((await cluster.patch(`${path}/fixed`, 'merge', { spec: { cancel: true } })).status).toBe(200)
        expect((await cluster.patch(`${path}/fixed`, 'merge', { spec: { cancel: false } })).json.message).toBe(message)
        expect((await cluster.patch(`${path}/fixed`, 'merge', { spec: { cancel: null } })).json.message).toBe(message)
      })

      test.each([
        ['0s', 'spec.timeout: Invalid value: "0s": must be from 1s to 168h'],
        ['soon', "spec.timeout in body should match '^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$'"],
      ])('may not have the timeout %s', async (timeout, sentence) => {
        const spec = { instanceRef: { name: 'demo' }, task: 'think', timeout }
        const answer = await cluster.post(path, run('timed', spec))
        expect(answer.status).toBe(422)
        expect(answer.json.message).toContain(sentence)
      })
    })
  })
}

/** What kubectl apply says besides what it did, and besides that the suite itself made some of the objects before. */
function unexpected(said: string): string[] {
  const expected =
    / (created|configured|unchanged)( \(server dry run\))?$|is missing the kubectl.kubernetes.io\/last-applied/
  return said.split('\n').filter((line) => !expected.test(line))
}
