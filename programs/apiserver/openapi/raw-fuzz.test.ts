import { once } from 'node:events'
import { connect } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Served, startServed } from '../testing/served.test-support.ts'

/** What no client that knows what a URL is would send: the bytes of the head of a request as they are. */
const wide = 1_000_000
const limits = { perSecond: wide, burst: wide, atOnce: wide, atOnceOfAll: wide, strangersPerSecond: wide }
const atOnce = 16

let served: Served
let token: string

beforeAll(async () => {
  served = await startServed({ limits: { ...limits, strangersBurst: wide } })
  token = await served.account('red', 'red', ['*'])
}, 60_000)
afterAll(async () => {
  await served?.close()
})

const visible = fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code))
const part = fc.oneof(
  fc.string({ unit: visible, maxLength: 40 }),
  fc.constantFrom(
    'red',
    'bot',
    '..',
    '.',
    '',
    '%',
    '%00',
    '%2f',
    '%ff',
    '%ED%A0%80',
    '[',
    '[::1',
    ':99999',
    '@',
    '\\',
    '?',
    '#',
  ),
  fc.constantFrom('a'.repeat(2_000), '*', 'http://x', '//', '?after=', '?after=1.2', '?after=%00', '&after=2'),
)
const target = fc.oneof(
  fc.array(part, { maxLength: 6 }).map((parts) => `/${parts.join('/')}`),
  fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('')),
  fc.tuple(part, part).map(([ns, name]) => `/api/v1/namespaces/${ns}/runs/${name}/stream`),
  part.map((query) => `/api/v1/namespaces/red/runs/none/stream?${query}`),
  fc.tuple(part, part).map(([ns, rest]) => `/api/v1/namespaces/${ns}/memories/${rest}`),
)
const inHeader = fc.oneof(
  fc.string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)) }),
  fc.constantFrom('', '[', 'http://[', 'null', 'websocket', '13', ':', '127.0.0.1:99999', 'a b', 'http://x, http://y'),
)
const headers = fc.record(
  {
    host: inHeader,
    origin: inHeader,
    cookie: inHeader,
    'sec-websocket-key': fc.oneof(inHeader, fc.constant('dGhlIHNhbXBsZSBub25jZQ==')),
    'sec-websocket-version': fc.oneof(inHeader, fc.constant('13')),
    'sec-websocket-protocol': inHeader,
    'sec-websocket-extensions': inHeader,
  },
  { requiredKeys: [] },
)

/** The first line of what comes back, or nothing where the connection is closed without a word. */
async function ask(target: string, headers: Record<string, string>): Promise<string> {
  const { hostname, port } = new URL(served.base)
  const socket = connect(Number(port), hostname)
  let said = ''
  socket.setEncoding('latin1').on('data', (text: string) => {
    said += text
    if (said.includes('\r\n')) socket.destroy()
  })
  const head = Object.entries({ host: 'x', authorization: `Bearer ${token}`, ...headers })
  const lines = head.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  socket.on('error', () => {})
  socket.write(`GET ${target} HTTP/1.1\r\n${lines}\r\n`)
  await once(socket, 'close')
  return said.split('\r\n')[0] ?? ''
}

test.each([
  ['a request', {}],
  ['an upgrade', { connection: 'Upgrade', upgrade: 'websocket' }],
])('whatever is written as the head of %s is answered, and never by a fault', { timeout: 240_000 }, async (_, more) => {
  const batch = fc.array(fc.tuple(target, headers), { minLength: atOnce, maxLength: atOnce })
  await fc.assert(
    fc.asyncProperty(batch, async (wishes) => {
      const answers = await Promise.all(wishes.map(async ([to, with_]) => [await ask(to, { ...with_, ...more }), to]))
      // 503 is right for what needs the bus or the database, which are not there.
      const wrong = answers.filter(([line = '']) => !/^HTTP\/1\.1 ([1-4]\d\d|503) /.test(line))
      expect(wrong).toEqual([])
    }),
    { numRuns: 100, endOnFailure: true },
  )
})

test('a target that is no URL is not found', async () => {
  const upgrade = { connection: 'Upgrade', upgrade: 'websocket' }
  for (const more of [{}, upgrade])
    for (const to of ['//', 'http://[', '//x:99999/']) expect(await ask(to, more), to).toMatch(/^HTTP\/1\.1 40[04] /)
})
