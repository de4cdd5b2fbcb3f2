import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { keyedList, list, map, mergedSet, object, string } from '../schema/schema.ts'
import { jsonPatch, mergePatch, strategicMerge } from './index.ts'

describe('JSON patch', () => {
  test.each([
    [{ a: 1 }, [{ op: 'add', path: '/b', value: 2 }], { a: 1, b: 2 }],
    [{ a: [1, 3] }, [{ op: 'add', path: '/a/1', value: 2 }], { a: [1, 2, 3] }],
    [{ a: [1] }, [{ op: 'add', path: '/a/-', value: 2 }], { a: [1, 2] }],
    [{ a: { 'b/c': 1 } }, [{ op: 'replace', path: '/a/b~1c', value: 2 }], { a: { 'b/c': 2 } }],
    [{ a: 1, b: 2 }, [{ op: 'remove', path: '/a' }], { b: 2 }],
    [{ a: { b: 1 } }, [{ op: 'move', from: '/a/b', path: '/c' }], { a: {}, c: 1 }],
    [
      { a: [1] },
      [
        { op: 'copy', from: '/a', path: '/b' },
        { op: 'add', path: '/b/-', value: 2 },
      ],
      { a: [1], b: [1, 2] },
    ],
    [
      { a: 1 },
      [
        { op: 'test', path: '/a', value: 1 },
        { op: 'replace', path: '', value: { z: 1 } },
      ],
      { z: 1 },
    ],
  ])('%j patched by %j', (document, patch, result) => {
    const before = structuredClone(document)
    expect(jsonPatch(document, patch)).toEqual(result)
    expect(document).toEqual(before)
  })

  test.each([
    [[{ op: 'remove', path: '/none' }]],
    [[{ op: 'replace', path: '/none', value: 1 }]],
    [[{ op: 'add', path: '/none/deeper', value: 1 }]],
    [[{ op: 'add', path: '/list/7', value: 1 }]],
    [[{ op: 'test', path: '/list', value: [] }]],
    [[{ op: 'add', path: '/__proto__', value: {} }]],
    [[{ op: 'add', path: '/constructor/prototype/x', value: 1 }]],
    [[{ op: 'fly', path: '/list' }]],
    ['no list'],
  ])('%j is refused', (patch) => {
    expect(() => jsonPatch({ list: [1] }, patch)).toThrow()
  })
})

describe('merge patch', () => {
  test.each([
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])('%j with %j', (target, patch, result) => {
    expect(mergePatch(target, patch)).toEqual(result)
  })

  test('applied twice is applied once', () => {
    const json = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.jsonValue())
    fc.assert(
      fc.property(json, json, (target, patch) => {
        const once = mergePatch(target, patch)
        expect(mergePatch(once, patch)).toEqual(once)
      }),
    )
  })
})

describe('strategic merge patch', () => {
  const schema = object({
    items: keyedList('name', object({ name: string, value: string, tags: list(string) })),
    names: mergedSet(string),
    plain: list(string),
    labels: map(string),
    choice: object({ a: string, b: string }),
  })
  const current = {
    items: [
      { name: 'x', value: '1' },
      { name: 'y', value: '2' },
    ],
    names: ['a', 'b'],
    plain: ['p'],
  }

  test.each([
    [
      'merges keyed items',
      { items: [{ name: 'y', value: '3' }] },
      {
        items: [
          { name: 'x', value: '1' },
          { name: 'y', value: '3' },
        ],
      },
    ],
    [
      'puts added keyed items first, as nothing says where else',
      { items: [{ name: 'z' }] },
      { items: [{ name: 'z' }, ...current.items] },
    ],
    ['deletes keyed items', { items: [{ name: 'x', $patch: 'delete' }] }, { items: [{ name: 'y', value: '2' }] }],
    ['replaces a keyed list', { items: [{ $patch: 'replace' }, { name: 'z' }] }, { items: [{ name: 'z' }] }],
    [
      'keeps order as told',
      { items: [{ name: 'z' }], '$setElementOrder/items': [{ name: 'z' }, { name: 'y' }, { name: 'x' }] },
      { items: [{ name: 'z' }, { name: 'y', value: '2' }, { name: 'x', value: '1' }] },
    ],
    ['unites sets of values', { names: ['b', 'c'] }, { names: ['a', 'b', 'c'] }],
    ['deletes from sets of values', { '$deleteFromPrimitiveList/names': ['a'] }, { names: ['b'] }],
    ['replaces other lists', { plain: ['q'] }, { plain: ['q'] }],
    ['removes by null', { plain: null }, { plain: undefined }],
  ])('%s', (_what, patch, result) => {
    expect(strategicMerge(current, patch, schema)).toEqual({ ...current, ...result })
  })

  test('retains only the named keys of a union', () => {
    const patch = { choice: { $retainKeys: ['b'], b: '2' } }
    expect(strategicMerge({ choice: { a: '1' } }, patch, schema)).toEqual({ choice: { b: '2' } })
  })

  test('refuses items without their key', () => {
    expect(() => strategicMerge(current, { items: [{ value: '9' }] }, schema)).toThrow(/merge key: name/)
  })
})
