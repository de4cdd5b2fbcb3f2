import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { breakingChanges } from './compatibility.ts'
import type { Json } from './document.ts'
import { openApiText } from './text.ts'

interface Parts {
  query?: object[]
  send?: object
  told?: object
  id?: string
  path?: string
}

const document = ({ query = [], send = {}, told = {}, id = 'doIt', path = '/x' }: Parts = {}) =>
  ({
    components: { schemas: { Sent: { type: 'object', ...send } } },
    paths: {
      [path]: {
        post: {
          operationId: id,
          parameters: query,
          requestBody: { content: { 'application/json': { schema: { $ref: '#/components/schemas/Sent' } } } },
          responses: { 200: { description: '', content: { 'application/json': { schema: told } } } },
        },
      },
    },
  }) as unknown as Json
const a = { type: 'string' }
const limit = (more: object) => ({ query: [{ name: 'limit', in: 'query', schema: { type: 'integer', ...more } }] })
const told = (properties: object, required: string[] = []) => ({ told: { type: 'object', properties, required } })
const send = (properties: object, required: string[] = []) => ({ send: { type: 'object', properties, required } })

describe('a client of the older API', () => {
  test.each<[string, Parts, Parts]>([
    ['POST /x: is gone', {}, { path: '/y' }],
    ['POST /x: is named doThat now', {}, { id: 'doThat' }],
    ['POST /x: the parameter query limit is gone', limit({}), {}],
    ['POST /x: query limit: maximum is 9, was 10', limit({ maximum: 10 }), limit({ maximum: 9 })],
    ['POST /x: query limit: minimum is 1, was nothing', limit({}), limit({ minimum: 1 })],
    ['POST /x: the body.a: is gone', send({ a }), send({})],
    ['POST /x: the body.a: is integer, was string', send({ a }), send({ a: { type: 'integer' } })],
    ['POST /x: the body.a: has become required', send({ a }), send({ a }, ['a'])],
    ['POST /x: the body.a: takes no longer x', send({ a: { enum: ['x', 'y'] } }), send({ a: { enum: ['y'] } })],
    ['POST /x: the body.a: takes no longer everything else', send({ a }), send({ a: { ...a, enum: ['y'] } })],
    ['POST /x: the body.a: has another pattern', send({ a }), send({ a: { ...a, pattern: 'x' } })],
    ['POST /x: 200.a: is gone', told({ a }, ['a']), told({})],
    ['POST /x: 200.a: may be missing now', told({ a }, ['a']), told({ a })],
    ['POST /x: 200[].a: is gone', { told: { items: told({ a }).told } }, { told: { items: told({}).told } }],
  ])('misses: %s', (change, older, newer) => {
    expect(breakingChanges(document(older), document(newer))).toEqual([change])
  })

  test.each<[string, Parts, Parts]>([
    ['a parameter more', {}, limit({})],
    ['a field more', send({}), send({ a })],
    ['a field more that is told', told({ a }), told({ a, b: a }, ['b'])],
    ['one that need not be there any more', send({ a }, ['a']), send({ a })],
    ['wider bounds', limit({ maximum: 9 }), limit({ maximum: 10 })],
    ['another value', send({ a: { enum: ['x'] } }), send({ a: { enum: ['x', 'y'] } })],
  ])('does not mind %s', (_, older, newer) => {
    expect(breakingChanges(document(older), document(newer))).toEqual([])
  })
})

/** docs/openapi.json as the last commit has it that is not the one as it is now. */
function lastCommitted(now: string): string | undefined {
  const git = (...args: string[]) => execFileSync('git', args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  const commits = git('log', '--format=%H', '-2', '--', 'docs/openapi.json').split('\n').filter(Boolean)
  return commits.map((commit) => git('show', `${commit}:docs/openapi.json`)).find((text) => text !== now)
}

test('docs/openapi.json is the API as it is served, and takes nothing from clients of the last one without a new version', () => {
  const now = openApiText()
  expect(readFileSync('docs/openapi.json', 'utf8')).toBe(now)
  const last = lastCommitted(now)
  if (last === undefined) return
  const [older, newer] = [last, now].map((text) => JSON.parse(text) as { info: { version: string } })
  /** The numbers up to the first that is not 0. */
  const line = (document: typeof older) => /^(0\.)*\d+/.exec(document?.info.version ?? '')?.[0]
  if (line(newer) === line(older)) expect(breakingChanges(older as Json, newer as Json)).toEqual([])
})
