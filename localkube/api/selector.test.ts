import { describe, expect, test } from 'vitest'
import { matchesLabelSelector, parseFieldSelector, parseLabelSelector } from './selector.ts'

describe('label selectors', () => {
  const labels = { app: 'web', tier: 'front', weight: '5' }
  test.each([
    ['', true],
    ['app=web', true],
    ['app==web,tier=front', true],
    ['app=db', false],
    ['app!=db', true],
    ['missing!=x', true],
    ['app in (db, web)', true],
    ['app notin (db,web)', false],
    ['missing notin (a)', true],
    ['app', true],
    ['!app', false],
    ['!missing', true],
    ['weight>4,weight<6', true],
    ['app=', false],
    ['app in (web),tier notin (back),!x', true],
  ])('%s: %s', (selector, matches) => {
    expect(parseLabelSelector(selector)(labels)).toBe(matches)
  })

  test.each(['a b', 'a in', 'a in (b', '=b', 'a=b=c'])('%s is refused', (selector) => {
    expect(() => parseLabelSelector(selector)).toThrow(/unable to parse requirement/)
  })

  test.each([
    [{}, true],
    [{ matchLabels: { app: 'web' } }, true],
    [{ matchLabels: { app: 'web', tier: 'back' } }, false],
    [
      {
        matchExpressions: [
          { key: 'app', operator: 'In', values: ['web'] },
          { key: 'x', operator: 'DoesNotExist' },
        ],
      },
      true,
    ],
    [
      {
        matchExpressions: [
          { key: 'app', operator: 'Exists' },
          { key: 'tier', operator: 'NotIn', values: ['front'] },
        ],
      },
      false,
    ],
    [undefined, false],
  ])('the object %j: %s', (selector, matches) => {
    expect(matchesLabelSelector(selector, labels)).toBe(matches)
  })
})

test('field selectors are split at commas that are not escaped', () => {
  expect(parseFieldSelector('a.b=c,d!=e\\,f,g==')).toEqual([
    { field: 'a.b', value: 'c', isEqual: true },
    { field: 'd', value: 'e,f', isEqual: false },
    { field: 'g', value: '', isEqual: true },
  ])
  expect(() => parseFieldSelector('nonsense')).toThrow(/can't understand/)
})
