import { beforeAll, describe, expect, test, vi } from 'vitest'
import type { Cluster } from './cluster.ts'
import { widgetDefinition } from './widget.ts'

const crds = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const widgets = '/apis/example.io/v1/namespaces/custom/widgets'

/** Definitions, and the objects of their kinds: schema, defaults, CEL, status, generation, tables. */
export function customResources(cluster: Cluster): void {
  describe('custom resources', () => {
    const make = (name: string, spec: object) => cluster.make(widgets, widget(name, spec))
    const widget = (name: string, spec: object = { size: 3 }) => ({
      apiVersion: 'example.io/v1',
      kind: 'Widget',
      metadata: { name },
      spec,
    })

    beforeAll(async () => {
      await cluster.makeNamespace('custom')
      await cluster.make(crds, widgetDefinition)
      await vi.waitFor(async () => expect((await cluster.get(widgets)).status).toBe(200), 30_000)
    })

    test.each([
      [{}, 'spec.size: Required value'],
      [{ size: null }, 'spec.size: Required value'],
      [{ size: 'big' }, 'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"'],
      [{ size: 1.5 }, 'spec.size: Invalid value: "number": spec.size in body must be of type integer: "number"'],
      [{ size: 11 }, 'spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10'],
      [{ size: 0 }, 'spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1'],
      [{ size: 1, color: 'green' }, 'spec.color: Unsupported value: "green": supported values: "red", "blue"'],
      [{ size: 1, code: 'A1' }, 'spec.code: Invalid value: "A1": spec.code in body should match \'^[a-z]+$\''],
      [{ size: 1, code: 'abcdef' }, 'spec.code: Too long: may not be more than 5 bytes'],
      [{ size: 1, code: 'a' }, 'spec.code: Invalid value: "a": spec.code in body should be at least 2 chars long'],
      [
        { size: 1, port: true },
        'spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"',
      ],
      [
        { size: 1, when: 'later' },
        'spec.when: Invalid value: "later": spec.when in body must be of type date-time: "later"',
      ],
      [{ size: 1, tags: ['a', 'a'] }, 'spec.tags[1]: Duplicate value: "a"'],
      [{ size: 1, tags: ['a', 'b', 'c'] }, 'spec.tags: Too many: 3: must have at most 2 items'],
      [{ size: 1, labels: { a: '1', b: '2', c: '3' } }, 'spec.labels: Too many: 3: must have at most 2 items'],
      [{ size: 1, labels: { a: 'abcdef' } }, 'spec.labels.a: Too long: may not be more than 5 bytes'],
      [{ size: 1, parts: [{ name: 'a' }, { name: 'a' }] }, 'spec.parts[1]: Duplicate value: {"name":"a"}'],
      [{ size: 1, parts: [{}] }, 'spec.parts[0].name: Required value'],
      [{ size: 2, color: 'blue' }, 'spec.size: Forbidden: a blue widget is larger than 2'],
      [{ size: 1, code: 'none' }, "spec: Invalid value: failed rule: !has(self.code) || self.code != 'none'"],
    ])('%j is refused with the field and the reason', async (spec, sentence) => {
      const { json } = await cluster.post(widgets, widget('bad', spec))
      expect(json).toMatchObject({ code: 422, reason: 'Invalid' })
      expect(json.details).toMatchObject({ name: 'bad', group: 'example.io', kind: 'Widget' })
      expect(json.message).toContain(`Widget.example.io "bad" is invalid: `)
      expect(json.message).toContain(sentence)
      expect(json.details.causes.length).toBeGreaterThan(0)
    })

    test('unknown fields are pruned, warned about or refused, unless the schema keeps them', async () => {
      const odd = widget('odd', { size: 1, x: 1, parts: [{ name: 'a', y: 1 }] })
      const warned = await cluster.post(`${widgets}?dryRun=All`, odd)
      expect(warned.json.spec).toEqual({ size: 1, color: 'red', parts: [{ name: 'a', weight: 1 }] })
      expect(warned.headers.warning).toContain('unknown field \\"spec.x\\"')
      const strict = await cluster.post(`${widgets}?fieldValidation=Strict`, odd)
      expect(strict.json).toMatchObject({
        code: 400,
        reason: 'BadRequest',
        message:
          'Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown field "spec.parts[0].y", unknown field "spec.x"',
      })
      const free = { any: { thing: [1, null] } }
      const kept = await cluster.post(`${widgets}?fieldValidation=Strict`, widget('kept', { size: 1, free }))
      expect(kept.json.spec.free).toEqual(free)
    })

    test('defaults are set all the way down, and null means absent', async () => {
      const { spec } = await make('defaults', { size: 1, color: null, parts: [{ name: 'a' }] })
      expect(spec).toEqual({ size: 1, color: 'red', parts: [{ name: 'a', weight: 1 }] })
    })

    test('transition rules hold on update only, and find the items of keyed lists', async () => {
      await make('moving', { size: 3, owner: 'me', parts: [{ name: 'a', weight: 5 }] })
      const patch = (spec: object) => cluster.patch(`${widgets}/moving`, 'merge', { spec })
      const owner = await patch({ owner: 'you' })
      expect(owner.json.message).toBe('Widget.example.io "moving" is invalid: spec: Invalid value: owner is immutable')
      expect(owner.json.details.causes).toEqual([
        { reason: 'FieldValueInvalid', message: 'Invalid value: owner is immutable', field: 'spec' },
      ])
      const parts = [
        { name: 'b', weight: 1 },
        { name: 'a', weight: 4 },
      ]
      expect((await patch({ parts })).json.message).toBe(
        'Widget.example.io "moving" is invalid: spec.parts[1]: Invalid value: a part never gets lighter',
      )
    })

    test('are replaced only by who says which version he replaces', async () => {
      const first = await make('versioned', { size: 3 })
      const bare = await cluster.put(`${widgets}/versioned`, widget('versioned', { size: 4 }))
      expect(bare.json).toMatchObject({ code: 422, reason: 'Invalid' })
      expect(bare.json.message).toContain('metadata.resourceVersion: Invalid value: 0: must be specified for an update')
      expect((await cluster.put(`${widgets}/versioned`, { ...first, spec: { size: 4 } })).json.spec.size).toBe(4)
      const stale = await cluster.put(`${widgets}/versioned`, { ...first, spec: { size: 5 } })
      expect(stale.json.message).toContain('Operation cannot be fulfilled on widgets.example.io "versioned"')
    })

    test('status is written through its subresource only, and only status is', async () => {
      const born = await cluster.make(widgets, { ...widget('isolated'), status: { phase: 'Forged' } })
      expect(born.status).toBeUndefined()
      const path = `${widgets}/isolated`
      const labels = { forged: 'yes' }
      const up = await cluster.patch(`${path}/status`, 'merge', {
        metadata: { labels },
        spec: { size: 9 },
        status: { phase: 'Up' },
      })
      expect(up.json).toMatchObject({ spec: { size: 3 }, status: { phase: 'Up' } })
      expect(up.json.metadata.labels).toBeUndefined()
      await cluster.patch(path, 'merge', { spec: { size: 4 }, status: { phase: 'Forged' } })
      expect((await cluster.get(path)).json).toMatchObject({ spec: { size: 4 }, status: { phase: 'Up' } })
      expect((await cluster.get(`${path}/status`)).json.status).toEqual({ phase: 'Up' })
    })

    test('generation counts changes of the spec, and neither labels nor status', async () => {
      await make('counted', { size: 3 })
      const path = `${widgets}/counted`
      const generation = async () => (await cluster.get(path)).json.metadata.generation as number
      expect(await generation()).toBe(1)
      await cluster.patch(path, 'merge', { metadata: { labels: { a: 'b' } } })
      await cluster.patch(`${path}/status`, 'merge', { status: { phase: 'Up' } })
      expect(await generation()).toBe(1)
      await cluster.patch(path, 'merge', { spec: { size: 5 } })
      expect(await generation()).toBe(2)
    })

    test('say what they are', async () => {
      const { json } = await cluster.post(widgets, { metadata: { name: 'mute' }, spec: { size: 1 } })
      expect(json).toMatchObject({ code: 400, reason: 'BadRequest' })
      expect(json.message).toMatch(
        /^the object provided is unrecognized \(must be of type Widget\): Object 'Kind' is missing in /,
      )
    })

    test('take no strategic merge patch', async () => {
      const { status, json } = await cluster.patch(`${widgets}/counted`, 'strategic', { spec: { size: 6 } })
      expect([status, json.reason]).toEqual([415, 'UnsupportedMediaType'])
    })

    test('are tables for people, with the columns of the definition', async () => {
      await make('shown', { size: 4 })
      const headers = { Accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' }
      const { json } = await cluster.get(`${widgets}?fieldSelector=metadata.name%3Dshown`, { headers })
      expect(json.columnDefinitions).toMatchObject([
        { name: 'Name', type: 'string', format: 'name', priority: 0 },
        { name: 'Size', type: 'integer', priority: 0 },
        { name: 'Phase', type: 'string', priority: 0 },
        { name: 'Ready', type: 'string', priority: 1 },
        { name: 'Age', type: 'date', priority: 0 },
      ])
      expect(json).toMatchObject({ kind: 'Table', apiVersion: 'meta.k8s.io/v1' })
      expect(json.rows).toMatchObject([
        { cells: ['shown', 4, null, null, expect.any(String)], object: { kind: 'PartialObjectMetadata' } },
      ])
      expect(json.rows[0].cells).toHaveLength(5)
    })

    test('are selected by the fields that the definition names', async () => {
      await make('azure', { size: 4, color: 'blue' })
      const names = async (selector: string) =>
        ((await cluster.get(`${widgets}?fieldSelector=${encodeURIComponent(selector)}`)).json.items ?? []).map(
          (item: { metadata: { name: string } }) => item.metadata.name,
        )
      expect(await names('spec.color=blue')).toEqual(['azure'])
      expect(await names('spec.color!=red')).toEqual(['azure'])
      const unknown = await cluster.get(`${widgets}?fieldSelector=spec.size%3D4`)
      expect([unknown.status, unknown.json.message]).toEqual([400, 'field label not supported: spec.size'])
    })

    describe('a definition that cannot be', () => {
      const at = 'spec.validation.openAPIV3Schema.properties'
      test.each([
        [
          'pattern',
          { type: 'string', pattern: '(' },
          `${at}[extra].pattern: Invalid value: "(": must be a valid regular expression`,
        ],
        [
          'type',
          { properties: { a: { type: 'string' } } },
          `${at}[extra].type: Required value: must not be empty for specified object fields`,
        ],
        [
          'rule',
          { type: 'string', 'x-kubernetes-validations': [{ rule: 'self ==' }] },
          `${at}[extra].x-kubernetes-validations[0].rule: Invalid value: `,
        ],
        ['default', { type: 'integer', default: 'text' }, `${at}[extra].default: Invalid value: `],
      ])('is refused for its %s', async (_what, extra, sentence) => {
        const broken = structuredClone(widgetDefinition)
        broken.metadata.name = 'wrong.example.io'
        Object.assign(broken.spec.versions[0]?.schema.openAPIV3Schema.properties ?? {}, { extra })
        const { json } = await cluster.post(crds, broken)
        expect(json).toMatchObject({ code: 422, reason: 'Invalid' })
        expect(json.message).toContain(sentence)
      })

      test('is refused for its name', async () => {
        const { json } = await cluster.post(crds, { ...widgetDefinition, metadata: { name: 'wrong.example.io' } })
        expect(json.message).toBe(
          'CustomResourceDefinition.apiextensions.k8s.io "wrong.example.io" is invalid: metadata.name: Invalid value: "wrong.example.io": must be spec.names.plural+"."+spec.group',
        )
      })
    })

    test('a definition takes its objects and its paths with it', async () => {
      const gizmos = structuredClone(widgetDefinition) as unknown as { metadata: object; spec: object }
      gizmos.metadata = { name: 'gizmos.example.org' }
      Object.assign(gizmos.spec, { group: 'example.org', names: { plural: 'gizmos', kind: 'Gizmo' } })
      await cluster.make(crds, gizmos)
      const path = '/apis/example.org/v1/namespaces/custom/gizmos'
      await expect.poll(async () => (await cluster.get(path)).status, { timeout: 30_000 }).toBe(200)
      await cluster.make(path, { ...widget('g1'), apiVersion: 'example.org/v1', kind: 'Gizmo' })
      expect((await cluster.delete(`${crds}/gizmos.example.org`)).status).toBe(200)
      await expect
        .poll(async () => (await cluster.get(`${crds}/gizmos.example.org`)).status, { timeout: 30_000 })
        .toBe(404)
      await expect.poll(async () => (await cluster.get(path)).status, { timeout: 30_000 }).toBe(404)
    })
  })
}
