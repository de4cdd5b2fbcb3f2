import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { migrate, openStore, type Store } from '#core/store'
import { createLogger } from '#core/telemetry'
import { databases, type TestDatabase } from '../../../test/support/database.ts'
import { DocumentClient, type Operation, type Wish } from '../testing/client.test-support.ts'
import { type Served, startServed } from '../testing/served.test-support.ts'
import { openApiDocument } from './document.ts'
import { routesAlone } from './text.ts'

const wide = 1_000_000
const limits = { perSecond: wide, burst: wide, atOnce: wide, atOnceOfAll: wide }
/** Of all routes together; `K8SCLAW_FUZZ_REQUESTS=100000` is the long form. */
const requests = Number(process.env.K8SCLAW_FUZZ_REQUESTS ?? 10_000)
const atOnce = 16

let served: Served
let database: TestDatabase
let store: Store | undefined
let client: DocumentClient
const document = openApiDocument(routesAlone()) as object

beforeAll(async () => {
  const [first] = databases
  if (!first) throw new Error('there is no database')
  ;[served, database] = await Promise.all([startServed({ limits, store: () => store }), first.start()])
  const log = createLogger('test')
  log.level = 'silent'
  store = openStore({ url: database.url, log })
  await migrate(store)
  client = new DocumentClient(document, served.base, await served.account('red', 'red', ['*']))
}, 120_000)
afterAll(async () => {
  client?.close()
  await store?.close()
  await Promise.all([served?.close(), database?.close()])
})

const hostile = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.constantFrom(
    '',
    '..',
    '../..',
    '%00',
    '\0',
    '*',
    '__proto__',
    'constructor',
    'null',
    '-1',
    '1e9',
    'NaN',
    '[]',
    '{}',
  ),
  fc.constantFrom(
    "' or 1=1 --",
    '$(id)',
    '\u202e\u0007',
    '\ud800',
    'a'.repeat(5000),
    '9'.repeat(400),
    '2026-02-30',
    '☃',
  ),
  fc.constantFrom('red', 'bot', 'Pending', '10', '2026-01-01', '0'.repeat(32)),
)
/** What a URL can hold: every text, but for halves of characters. */
const inUrl = hostile.map((text) => text.toWellFormed())
/** All that a header may be made of. */
const visible = fc.oneof(fc.integer({ min: 0x20, max: 0x7e }), fc.integer({ min: 0x80, max: 0xff }))
const inHeader = fc.string({ unit: visible.map((code) => String.fromCharCode(code)) })
const names = [
  'metadata',
  'spec',
  'name',
  'instance',
  'task',
  'model',
  'agents',
  'skills',
  'toolGating',
  'rules',
  'cancel',
  'messages',
  'role',
  'content',
  'stream',
  'stream_options',
  'metadata',
]
const value = fc.letrec((again) => ({
  any: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    hostile,
    fc.double(),
    fc.boolean(),
    fc.constant(null),
    fc.array(again('any'), { maxLength: 4 }),
    fc.dictionary(fc.oneof(fc.constantFrom(...names), hostile), again('any'), { maxKeys: 5 }),
  ),
})).any
/** Right but for what is put over it, so that more than the first check is met. */
const nearlyRight = fc.tuple(
  fc.constantFrom(
    { instance: 'bot', task: 'x' },
    { cancel: true },
    { model: 'red/bot', messages: [{ role: 'user', content: 'x' }], metadata: { session: 'x' } },
    { metadata: { name: 'x' }, spec: { agents: { default: { model: { provider: 'demo', name: 'demo' } } } } },
    { metadata: { name: 'x', resourceVersion: '1' }, spec: {} },
    { metadata: { name: 'x' }, spec: { skills: [{ name: 'x', description: 'x', content: 'x' }] } },
  ),
  fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 2 }),
)
const body = fc.oneof(
  value.map((body) => ({ body })),
  nearlyRight.map(([right, over]) => ({ body: { ...right, ...over } })),
  hostile.map((raw) => ({ raw: raw.toWellFormed() })),
  fc.integer({ min: 1, max: 20_000 }).map((depth) => ({ raw: `${'['.repeat(depth)}${']'.repeat(depth)}` })),
  fc
    .integer({ min: 1, max: 20_000 })
    .map((depth) => ({ raw: `{"spec":${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}}` })),
)

function wishFor({ parameters, bodyTypes }: Operation): fc.Arbitrary<Wish> {
  const named = (where: string, of: fc.Arbitrary<string>) =>
    Object.fromEntries(parameters.filter((one) => one.in === where).map(({ name }) => [name, of]))
  const params = fc.record(named('path', fc.oneof(fc.constantFrom('red', 'bot', 'none'), inUrl)))
  const known = fc.record(named('query', inUrl), { requiredKeys: [] })
  const query = fc.tuple(known, fc.oneof({ arbitrary: fc.constant({}), weight: 4 }, fc.dictionary(inUrl, inUrl)))
  const type = { 'content-type': fc.oneof(fc.constantFrom('application/json', 'text/plain', ';'), inHeader) }
  const headers = fc.record(
    {
      ...named('header', inHeader),
      'x-k8sclaw-session': inHeader,
      cookie: inHeader,
      ...(bodyTypes.length > 0 && type),
    },
    { requiredKeys: [] },
  )
  return fc
    .tuple(params, query, headers, bodyTypes.length > 0 ? body : fc.constant({}))
    .map(
      ([params, [known, more], headers, sent]) => ({ params, query: { ...more, ...known }, headers, ...sent }) as Wish,
    )
}

test('whatever is asked of any route is answered as openapi.json says, and never by a fault', {
  timeout: 60 * requests,
}, async () => {
  let asked = 0
  const operations = client.operations.filter(({ id }) => id !== 'streamRun')
  const numRuns = Math.ceil(requests / operations.length / atOnce)
  for (const operation of operations) {
    const batch = fc.array(wishFor(operation), { minLength: atOnce, maxLength: atOnce })
    await fc.assert(
      fc.asyncProperty(batch, async (wishes) => {
        asked += wishes.length
        const answers = await Promise.all(wishes.map((wish) => client.call(operation.id, wish)))
        // 503 is right for what needs the bus, which is not there.
        const faults = answers.filter(({ status }) => status >= 500 && status !== 503)
        expect(faults.map(({ text }) => text)).toEqual([])
      }),
      { numRuns, endOnFailure: true },
    )
  }
  expect(asked).toBeGreaterThanOrEqual(requests)
  expect((await client.call('getInstance', { params: { ns: 'red', name: 'bot' } })).status).toBeLessThan(500)
})
