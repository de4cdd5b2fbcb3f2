import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { admitsImage, admitsModel, admitsURL, urlsOfBoth } from './allow.ts'

const digest = `sha256:${'ab'.repeat(32)}`
const other = `sha256:${'cd'.repeat(32)}`

describe('an image is allowed by its whole repository', () => {
  test.each([
    ['ghcr.io/org', 'ghcr.io/org', true],
    ['ghcr.io/org', 'ghcr.io/org:1', true],
    ['ghcr.io/org', `ghcr.io/org@${digest}`, true],
    ['ghcr.io/org', 'ghcr.io/org-evil', false],
    ['ghcr.io/org', 'ghcr.io/org-evil/x', false],
    ['ghcr.io/org', 'ghcr.io/org/x', false],
    ['ghcr.io/org/x', 'ghcr.io/org', false],
    ['ghcr.io/org/x', 'evil.io/ghcr.io/org/x', false],
    ['ghcr.io/org/x', 'ghcr.io:444/org/x', false],
    ['ghcr.io/org/x', 'ghcr.io.evil.io/org/x', false],
    ['docker.io/library/busybox', 'busybox', false],
    ['busybox', 'docker.io/library/busybox', false],
    [`ghcr.io/org/x@${digest}`, `ghcr.io/org/x@${digest}`, true],
    [`ghcr.io/org/x@${digest}`, `ghcr.io/org/x:latest@${digest}`, true],
    [`ghcr.io/org/x@${digest}`, 'ghcr.io/org/x:latest', false],
    [`ghcr.io/org/x@${digest}`, `ghcr.io/org/x@${other}`, false],
    [`ghcr.io/org/x@${digest}`, `ghcr.io/org/y@${digest}`, false],
  ])('%s, image %s: %s', (source, image, allowed) => {
    expect(admitsImage([source], image)).toBe(allowed)
    expect(admitsImage([], image)).toBe(false)
  })
})

describe('a model is allowed by provider and name, each by its own glob', () => {
  const model = (provider: string, name: string) => ({ provider, name })
  test.each([
    ['anthropic/*', model('anthropic', 'claude'), true],
    ['anthropic/claude-*', model('anthropic', 'claude-x'), true],
    ['anthropic/claude-*', model('anthropic', 'gpt'), false],
    ['anthropic/*', model('anthropic-evil', 'claude'), false],
    ['*/*', model('any', 'thing/at:all'), true],
    ['router/meta/*', model('router', 'meta/llama'), true],
    ['a*b/c', model('a', 'zb/c'), false],
    ['demo/demo', model('demo', 'demo'), true],
    ['demo/demo', model('demo', 'demo2'), false],
  ])('%s, %j: %s', (glob, asked, allowed) => {
    expect(admitsModel([glob], asked)).toBe(allowed)
  })
})

describe('a provider is spoken to at a listed URL or below it', () => {
  test.each([
    ['https://api.example/v1', 'https://api.example/v1', true],
    ['https://api.example/v1', 'https://api.example/v1/', true],
    ['https://api.example/v1/', 'https://api.example/v1', true],
    ['https://api.example/v1', 'https://api.example/v1/eu', true],
    ['https://api.example', 'https://api.example/anything', true],
    ['https://api.example:443/v1', 'https://API.example/v1', true],
    ['https://api.example/v1', 'https://api.example/v10', false],
    ['https://api.example/v1', 'https://api.example/', false],
    ['https://api.example/v1', 'http://api.example/v1', false],
    ['https://api.example/v1', 'https://api.example:8443/v1', false],
    ['https://api.example', 'https://api.example.evil.io/', false],
    ['https://api.example', 'https://evil.io@api.example/', false],
    ['https://api.example', 'https://api.example@evil.io/', false],
    ['https://api.example/v1', 'https://api.example/v1/../v2', false],
    ['https://api.example/v1', 'https://api.example/v1/%2e%2e/v2', false],
    ['https://api.example/v1', 'https://api.example/v1/..%2fv2', false],
    ['https://api.example/v1', 'https://api.example/v1?to=elsewhere', false],
    ['https://api.example/v1', 'https://api.example/v1#x', false],
    ['https://api.example/v1', 'no url', false],
  ])('%s, asked %s: %s', (entry, url, allowed) => {
    expect(admitsURL([entry], url)).toBe(allowed)
  })

  test('what two lists admit together is what each of them admits, and undefined admits all', () => {
    const segment = fc.constantFrom('v1', 'v10', 'eu')
    const url = fc
      .tuple(
        fc.constantFrom('https://a.example', 'http://a.example', 'https://b.example:81'),
        fc.array(segment, { maxLength: 3 }),
      )
      .map(([origin, path]) => [origin, ...path].join('/'))
    const list = fc.option(fc.array(url, { maxLength: 4 }), { nil: undefined })
    const admits = (urls: readonly string[] | undefined, asked: string) => !urls || admitsURL(urls, asked)
    fc.assert(
      fc.property(list, list, url, (a, b, asked) => {
        expect(admits(urlsOfBoth(a, b), asked)).toBe(admits(a, asked) && admits(b, asked))
      }),
      { numRuns: 1000 },
    )
  })
})
