import { describe, expect, test } from 'vitest'
import { decideResources, wishAbove } from './resources.ts'

const defaults = { requests: { cpu: '50m', memory: '96Mi' }, limits: { memory: '2Gi' } }

describe('decideResources', () => {
  test.each([
    ['the defaults for who says nothing', undefined, [], defaults],
    [
      'defaults cut to the cap, and a CPU limit where there is a cap',
      undefined,
      [{ cpu: '20m', memory: '64Mi' }],
      { requests: { cpu: '20m', memory: '64Mi' }, limits: { cpu: '20m', memory: '64Mi' } },
    ],
    [
      'what is wished, as it is written',
      { requests: { cpu: 1, memory: '1Gi' }, limits: { cpu: '1500m', memory: '4Gi' } },
      [{ cpu: 2, memory: '4096Mi' }],
      { requests: { cpu: '1', memory: '1Gi' }, limits: { cpu: '1500m', memory: '4Gi' } },
    ],
    [
      'a limit that the request does not exceed',
      { requests: { memory: '3Gi' } },
      [],
      { requests: { cpu: '50m', memory: '3Gi' }, limits: { memory: '3Gi' } },
    ],
    [
      'a request that is not above a small limit',
      { limits: { cpu: '10m', memory: '10Mi' } },
      [],
      { requests: { cpu: '10m', memory: '10Mi' }, limits: { cpu: '10m', memory: '10Mi' } },
    ],
    [
      "the lowest of the policy's cap and the parent's limits",
      { requests: { memory: '4Gi' }, limits: { cpu: '3', memory: '8Gi' } },
      [{ cpu: '2' }, { cpu: '1', memory: '1Gi' }],
      { requests: { cpu: '50m', memory: '1Gi' }, limits: { cpu: '1', memory: '1Gi' } },
    ],
  ])('gives %s', (_, wishes, caps, decided) => {
    expect(decideResources(wishes, defaults, caps)).toEqual(decided)
  })
})

test.each([
  [{ requests: { cpu: '3' } }, 'resources.requests.cpu'],
  [{ limits: { cpu: '2001m' } }, 'resources.limits.cpu'],
  [{ requests: { memory: '2Gi' }, limits: { memory: '3Gi' } }, 'resources.requests.memory'],
  [{ limits: { memory: '1025Mi' } }, 'resources.limits.memory'],
  [{ requests: { cpu: 2 }, limits: { cpu: 2, memory: '1Gi' } }, undefined],
  [undefined, undefined],
])('of %j, %s is above the cap', (wishes, path) => {
  expect(wishAbove(wishes, { cpu: '2', memory: '1Gi' })?.path).toBe(path)
})
