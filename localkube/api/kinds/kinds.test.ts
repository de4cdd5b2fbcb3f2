import { describe, expect, test } from 'vitest'
import { findReview } from '../access/reviews.ts'
import { applyDefaults, findTypeError, prune, type Schema } from '../schema/index.ts'
import { compareVersions } from '../wire/discovery.ts'
import { durationText } from './columns.ts'
import { apiVersionOf, builtinKinds, isQualifiedName, validateName } from './index.ts'
import { parseJsonPath } from './jsonpath.ts'
import { podColumnStatus } from './pod-status.ts'

describe('JSONPath of printer columns', () => {
  const object = {
    a: {
      'b.c': 1,
      list: [
        { type: 'X', status: 'no' },
        { type: 'Y', status: 'yes' },
      ],
    },
    n: [1, 2, 3],
  }
  test.each([
    ['.a.b\\.c', [1]],
    ["['a']['b.c']", [1]],
    ['.n[0]', [1]],
    ['.n[-1]', [3]],
    ['.n[*]', [1, 2, 3]],
    ['.a.list[?(@.type=="Y")].status', ['yes']],
    [".a.list[?(@.type=='X')].status", ['no']],
    ['.a.list[?(@.status)].type', ['X', 'Y']],
    ['.missing.deeper', []],
    ['.a.list.type', []],
  ])('%s', (path, found) => {
    expect(parseJsonPath(path)?.(object)).toEqual(found)
  })

  test.each(['.a[', '.a[?(@.b > 1)]', '..a'])('%s is not understood, and said so', (path) => {
    expect(parseJsonPath(path)).toBeUndefined()
  })
})

describe('columns', () => {
  test.each([
    [5, '5s'],
    [119, '119s'],
    [125, '2m5s'],
    [600, '10m'],
    [3 * 3600 + 60, '3h1m'],
    [47 * 3600, '47h'],
    [3 * 86_400 + 3600, '3d1h'],
    [100 * 86_400, '100d'],
    [800 * 86_400, '2y'],
  ])('%i seconds are %s', (seconds, text) => {
    expect(durationText(seconds)).toBe(text)
  })

  const waiting = (reason: string): object => ({ waiting: { reason } })
  const done = (reason: string): object => ({ terminated: { reason, exitCode: 0 } })
  const running = { running: {} }
  test.each([
    [{ phase: 'Pending' }, '0/1', 'Pending'],
    [
      { phase: 'Pending', containerStatuses: [{ name: 'a', state: waiting('ErrImageNeverPull') }] },
      '0/1',
      'ErrImageNeverPull',
    ],
    [{ phase: 'Running', containerStatuses: [{ name: 'a', ready: true, state: running }] }, '1/1', 'Running'],
    [{ phase: 'Succeeded', containerStatuses: [{ name: 'a', state: done('Completed') }] }, '0/1', 'Completed'],
    [{ phase: 'Failed', reason: 'DeadlineExceeded' }, '0/1', 'DeadlineExceeded'],
    [{ phase: 'Failed', containerStatuses: [{ name: 'a', state: done('Error') }] }, '0/1', 'Error'],
  ])('a pod of status %j shows %s and %s', (status, ready, text) => {
    const metadata = { name: 'p', uid: '', resourceVersion: '', creationTimestamp: '' }
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata, spec: { containers: [{ name: 'a' }] }, status }
    expect(podColumnStatus(pod)).toMatchObject({ ready, status: text })
  })

  test('a pod with a sidecar counts it, and shows which init container it waits for', () => {
    const metadata = { name: 'p', uid: '', resourceVersion: '', creationTimestamp: '' }
    const spec = {
      initContainers: [{ name: 's', restartPolicy: 'Always' }, { name: 'i' }],
      containers: [{ name: 'a' }],
    }
    const status = {
      phase: 'Pending',
      initContainerStatuses: [
        { name: 's', ready: true, started: true, state: running },
        { name: 'i', state: running },
      ],
    }
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata, spec, status }
    expect(podColumnStatus(pod)).toEqual({ ready: '1/2', status: 'Init:1/2', restarts: 0 })
  })
})

describe('names', () => {
  test.each([
    ['web', 'serviceLabel', true],
    ['1web', 'serviceLabel', false],
    ['a.b', 'label', false],
    ['a.b', 'subdomain', true],
    ['A', 'subdomain', false],
    ['system:node', 'path', true],
    ['a/b', 'path', false],
    ['', 'subdomain', false],
    ['x'.repeat(64), 'label', false],
    ['x\n', 'subdomain', false],
  ] as const)('%j as %s: %s', (name, rule, isValid) => {
    expect(validateName(name, rule).length === 0).toBe(isValid)
  })

  test.each([
    ['app', true],
    ['example.io/app', true],
    ['Example.io/app', false],
    ['a/b/c', false],
    ['-a', false],
  ])('the label key %s: %s', (key, isValid) => {
    expect(isQualifiedName(key)).toBe(isValid)
  })
})

test('versions are sorted as Kubernetes does', () => {
  const versions = ['v1alpha1', 'v2', 'foo', 'v1', 'v1beta2', 'v1beta1', 'v10']
  expect(versions.toSorted(compareVersions)).toEqual(['v10', 'v2', 'v1', 'v1beta2', 'v1beta1', 'v1alpha1', 'foo'])
})

test('no two kinds share a path, a name or a short name', () => {
  const paths = builtinKinds.map((kind) => `${apiVersionOf(kind)}/${kind.plural}`)
  expect(new Set(paths).size).toBe(paths.length)
  const words = builtinKinds.flatMap((kind) => [kind.plural, kind.singular, ...kind.shortNames])
  expect(new Set(words).size).toBe(words.length)
  expect(builtinKinds.some((kind) => findReview(kind.group, kind.version, kind.plural))).toBe(false)
})

describe('schemas', () => {
  const schema: Schema = {
    type: 'object',
    properties: {
      a: { type: 'string', default: 'x' },
      nested: { type: 'object', default: {}, properties: { n: { type: 'integer', default: 1 } } },
      list: { type: 'array', items: { type: 'object', properties: { v: { type: 'boolean' } } } },
      open: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true, properties: { known: { type: 'string' } } },
      any: { 'x-kubernetes-preserve-unknown-fields': true },
      maybe: { type: 'string', nullable: true },
    },
  }

  test('prune what they do not know and report where it was', () => {
    const value = {
      a: null,
      list: [{ v: true, w: 1 }],
      open: { x: { y: 1 }, known: 'k' },
      any: [{}],
      maybe: null,
      z: 1,
    }
    const unknown: string[] = []
    prune(value, schema, (path) => unknown.push(path))
    expect(unknown).toEqual(['list[0].w', 'z'])
    expect(value).toEqual({ list: [{ v: true }], open: { x: { y: 1 }, known: 'k' }, any: [{}], maybe: null })
  })

  test('default from the outside in', () => {
    const value = {}
    applyDefaults(value, schema)
    expect(value).toEqual({ a: 'x', nested: { n: 1 } })
  })

  test('find the first value of a wrong type', () => {
    expect(findTypeError({ list: [{ v: 'true' }] }, schema, 'Thing')).toBe(
      'json: cannot unmarshal string into Go struct field Thing.list[0].v of type boolean',
    )
    expect(findTypeError({ a: 'x', nested: null, any: 1 }, schema, 'Thing')).toBeUndefined()
  })
})
