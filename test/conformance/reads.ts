import { beforeAll, describe, expect, test } from 'vitest'
import type { Cluster, Json } from './cluster.ts'

const maps = '/api/v1/namespaces/reads/configmaps'
const tableOrJson = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json'

/** Lists in pages, selectors, and watches. */
export function reads(cluster: Cluster): void {
  describe('reading', () => {
    const namesIn = (list: Json): string[] => list.items.map((item: Json) => item.metadata.name)
    const selected = async (query: string) => namesIn((await cluster.get(`${maps}?${query}`)).json)
    const labelled = (selector: string) => selected(`labelSelector=${encodeURIComponent(selector)}`)
    const fielded = (selector: string) => selected(`fieldSelector=${encodeURIComponent(selector)}`)

    beforeAll(async () => {
      await cluster.makeNamespace('reads')
      for (const i of [1, 2, 3, 4, 5]) {
        await cluster.make(maps, { metadata: { name: `page-${i}`, labels: { page: String(i), odd: String(i % 2) } } })
      }
    })

    test('a list has a version, and items without kind', async () => {
      const { json } = await cluster.get(`${maps}?labelSelector=page`)
      expect(json).toMatchObject({ kind: 'ConfigMapList', apiVersion: 'v1' })
      expect(json.metadata.resourceVersion).toMatch(/^\d+$/)
      expect(json.items[0].kind).toBeUndefined()
    })

    test('pages together are the whole, as it was at the first of them', async () => {
      const names: string[] = []
      let next = ''
      let version: string | undefined
      do {
        const { json } = await cluster.get(`${maps}?limit=2&labelSelector=page&continue=${encodeURIComponent(next)}`)
        version ??= json.metadata.resourceVersion
        expect(json.metadata.resourceVersion).toBe(version)
        names.push(...namesIn(json))
        next = json.metadata.continue ?? ''
        await cluster.make(maps, { metadata: { name: `page-1-${names.length}`, labels: { page: 'late' } } })
      } while (next)
      expect(names).toEqual(['page-1', 'page-2', 'page-3', 'page-4', 'page-5'])
    })

    test('labels select by equality, sets and existence', async () => {
      expect(await labelled('odd=1')).toEqual(['page-1', 'page-3', 'page-5'])
      expect(await labelled('odd==1,page!=3')).toEqual(['page-1', 'page-5'])
      expect(await labelled('page in (1,2)')).toEqual(['page-1', 'page-2'])
      expect(await labelled('odd,page notin (1,2,3)')).toEqual(['page-4', 'page-5'])
      expect(await labelled('!page')).not.toContain('page-1')
      expect(await labelled('page>3')).toEqual(['page-4', 'page-5'])
    })

    test('fields select by name', async () => {
      expect(await fielded('metadata.name=page-2')).toEqual(['page-2'])
      expect(await fielded('metadata.name!=page-2,metadata.namespace=reads')).not.toContain('page-2')
    })

    test.each([
      ['labelSelector=a%20b%20c', 400, 'unable to parse requirement'],
      [
        'fieldSelector=spec.x%3D1',
        400,
        '"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"',
      ],
      ['continue=rubbish', 400, 'continue key is not valid'],
      ['resourceVersion=x', 400, 'resourceVersion: Invalid value: "x"'],
    ])('%s is refused with %i', async (query, code, message) => {
      const { json } = await cluster.get(`${maps}?${query}`)
      expect(json).toMatchObject({ kind: 'Status', code, message: expect.stringContaining(message) })
    })

    test('a version that is still to come is waited for, and then refused', async () => {
      const { json } = await cluster.get(`${maps}?resourceVersion=999999999`)
      expect(json).toMatchObject({ code: 504, reason: 'Timeout' })
      expect(json.message).toMatch(/^Timeout: Too large resource version: 999999999, current: \d+$/)
    })

    test('a table has the columns of the kind, and metadata alone where nothing more is asked', async () => {
      const { json } = await cluster.get(`${maps}?labelSelector=page%3D1`, { headers: { Accept: tableOrJson } })
      expect(json.kind).toBe('Table')
      expect(json.columnDefinitions.map(({ name }: Json) => name)).toEqual(['Name', 'Data', 'Age'])
      expect(json.rows[0]).toMatchObject({ cells: ['page-1', 0, expect.any(String)] })
      expect(json.rows[0].object).toMatchObject({ kind: 'PartialObjectMetadata', metadata: { name: 'page-1' } })
      const whole = await cluster.get(`${maps}?labelSelector=page%3D1&includeObject=Object`, {
        headers: { Accept: tableOrJson },
      })
      expect(whole.json.rows[0].object.kind).toBe('ConfigMap')
      const partial = await cluster.get(maps, {
        headers: { Accept: 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io' },
      })
      expect(partial.json.kind).toBe('PartialObjectMetadataList')
      expect(partial.json.items[0].data).toBeUndefined()
    })

    test('a watch resumes after a version and tells what came, changed and went', async () => {
      const first = await cluster.make(maps, { metadata: { name: 'w1', labels: { w: '1' } } })
      await cluster.make(maps, { metadata: { name: 'w2', labels: { w: '1' } } })
      await cluster.patch(`${maps}/w2`, 'merge', { data: { a: '1' } })
      await cluster.delete(`${maps}/w2`)
      const { resourceVersion } = first.metadata
      const events = await cluster.watch(
        `${maps}?watch=1&labelSelector=w&resourceVersion=${resourceVersion}&timeoutSeconds=2`,
      )
      expect(events.map(({ type, object }) => [type, object.kind, object.metadata.name])).toEqual([
        ['ADDED', 'ConfigMap', 'w2'],
        ['MODIFIED', 'ConfigMap', 'w2'],
        ['DELETED', 'ConfigMap', 'w2'],
      ])
      const versions = events.map(({ object }) => Number(object.metadata.resourceVersion))
      expect(versions).toEqual([...new Set(versions)].toSorted((a, b) => a - b))
    })

    test('an object enters and leaves a watch by its labels', async () => {
      const first = await cluster.make(maps, { metadata: { name: 'in-out' } })
      await cluster.patch(`${maps}/in-out`, 'merge', { metadata: { labels: { inside: 'yes' } } })
      await cluster.patch(`${maps}/in-out`, 'merge', { metadata: { labels: { inside: null } } })
      const { resourceVersion } = first.metadata
      const events = await cluster.watch(
        `${maps}?watch=1&labelSelector=inside&resourceVersion=${resourceVersion}&timeoutSeconds=2`,
      )
      expect(events.map(({ type }) => type)).toEqual(['ADDED', 'DELETED'])
      expect(events[1]?.object.metadata.labels).toEqual({ inside: 'yes' })
    })

    test('a watch from nowhere begins with what exists', async () => {
      const events = await cluster.watch(`${maps}?watch=1&fieldSelector=metadata.name%3Dw1&timeoutSeconds=1`)
      expect(events.map(({ type, object }) => [type, object.metadata.name])).toEqual([['ADDED', 'w1']])
    })

    test('a watch that asks for the beginning is told where it ends', async () => {
      const query = 'watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true'
      const events = await cluster.watch(`${maps}?${query}&timeoutSeconds=2&fieldSelector=metadata.name%3Dw1`)
      expect(events.slice(0, 2)).toMatchObject([
        { type: 'ADDED' },
        { type: 'BOOKMARK', object: { metadata: { annotations: { 'k8s.io/initial-events-end': 'true' } } } },
      ])
    })

    test('a watch as tables sends rows', async () => {
      const answer = await cluster.get(`${maps}?watch=1&fieldSelector=metadata.name%3Dw1&timeoutSeconds=1`, {
        headers: { Accept: tableOrJson },
      })
      const event = JSON.parse(answer.text.split('\n')[0] ?? '') as Json
      expect(event).toMatchObject({
        type: 'ADDED',
        object: { kind: 'Table', rows: [{ cells: ['w1', 0, expect.any(String)] }] },
      })
    })
  })
}
