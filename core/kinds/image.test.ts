import { describe, expect, test } from 'vitest'
import { imageParts, imageReference, imageSource } from './index.ts'

const digest = `sha256:${'0a'.repeat(32)}`

describe('an image', () => {
  test.each([
    ['busybox', { repository: 'busybox' }],
    ['busybox:1.36', { repository: 'busybox', tag: '1.36' }],
    ['docker.io/library/busybox', { repository: 'docker.io/library/busybox' }],
    ['localhost:5000/x', { repository: 'localhost:5000/x' }],
    ['localhost:5000/org/x__y-z.a:v1_2', { repository: 'localhost:5000/org/x__y-z.a', tag: 'v1_2' }],
    [`ghcr.io/org/x@${digest}`, { repository: 'ghcr.io/org/x', digest }],
    [`ghcr.io/org/x:1@${digest}`, { repository: 'ghcr.io/org/x', tag: '1', digest }],
  ])('%s has its parts as they are written', (reference, parts) => {
    expect(imageReference.safeParse(reference).success).toBe(true)
    expect(imageParts(reference)).toEqual(parts)
  })

  test.each([
    '',
    'Busybox',
    'x:',
    'x@',
    'x@sha256:12',
    `x@md5:${'0'.repeat(32)}`,
    'https://ghcr.io/x',
    'x/',
    '/x',
    'a//b',
    'x y',
    'x:1:2',
    'x..y',
    '-x',
    `x:${'t'.repeat(129)}`,
    'x\n',
  ])('may not be %j', (reference) => {
    expect(imageReference.safeParse(reference).success).toBe(false)
  })

  test('is allowed by repository or digest, never by a tag, which moves', () => {
    expect(imageSource.safeParse('ghcr.io:443/org/x').success).toBe(true)
    expect(imageSource.safeParse(`ghcr.io/org/x@${digest}`).success).toBe(true)
    for (const source of ['ghcr.io/org/x:1', `ghcr.io/org/x:1@${digest}`, 'ghcr.io/org/*', 'ghcr.io/org/'])
      expect(imageSource.safeParse(source).success).toBe(false)
  })
})
