import { request } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Served, startServed } from '../testing/served.test-support.ts'

const limits = { perSecond: 0.1, burst: 30, atOnce: 4, atOnceOfAll: 50, strangersPerSecond: 0.1, strangersBurst: 12 }
let served: Served
beforeAll(async () => {
  served = await startServed({ limits })
})
afterAll(() => served?.close())

const ask = async (token: string, path = 'red/instances') => {
  const headers = { authorization: `Bearer ${token}` }
  const response = await fetch(`${served.base}/api/v1/namespaces/${path}`, { headers })
  const { code } = (await response.json()) as { code?: string }
  return { status: response.status, code, retryAfter: response.headers.get('retry-after') }
}

test('a user who asks too much is told when to come back, and nobody else is', async () => {
  const [busy, other] = [await served.account('red', 'busy', ['*']), await served.account('red', 'other', ['*'])]
  for (let asked = 0; asked < limits.burst; asked++) expect((await ask(busy)).status).toBe(200)
  const refused = await ask(busy)
  expect(refused).toMatchObject({ status: 429, code: 'too_many' })
  expect(Number(refused.retryAfter)).toBeGreaterThan(1)
  expect((await ask(other)).status).toBe(200)
})

test('opening a WebSocket, or a stream of events, counts as a request', async () => {
  const token = await served.account('red', 'streaming', ['*'])
  const path = `/api/v1/namespaces/red/runs/none`
  const open = () =>
    new Promise<[number | undefined, string | undefined]>((resolve, reject) => {
      const headers = {
        ...{ authorization: `Bearer ${token}`, connection: 'Upgrade', upgrade: 'websocket' },
        ...{ 'sec-websocket-version': '13', 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==' },
      }
      const asked = request(`${served.base}${path}/stream`, { headers })
      asked.on('response', (answer) => {
        answer.resume()
        resolve([answer.statusCode, answer.headers['retry-after']])
      })
      asked.on('error', reject).end()
    })
  for (let asked = 0; asked < limits.burst; asked += 2) {
    expect(await open()).toEqual([404, undefined])
    expect((await ask(token, 'red/runs/none/events')).status).toBe(404)
  }
  const [status, retryAfter] = await open()
  expect(status).toBe(429)
  expect(Number(retryAfter)).toBeGreaterThan(1)
  expect((await ask(token, 'red/runs/none/events')).status).toBe(429)
})

test('requests of one user at once are limited, and the next is served when one is over', async () => {
  const token = await served.account('red', 'wide', ['*'])
  expect((await ask(token)).status).toBe(200)
  // Bodies that do not end keep their requests under way.
  const slow = Array.from({ length: limits.atOnce }, () => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const asked = request(`${served.base}/api/v1/namespaces/red/runs`, { method: 'POST', headers })
    asked.on('error', () => {})
    asked.write('{')
    return asked
  })
  await expect.poll(() => ask(token)).toEqual({ status: 429, code: 'too_many', retryAfter: '1' })
  for (const asked of slow) asked.destroy()
  await expect.poll(async () => (await ask(token)).status).toBe(200)
})

test('tokens that nobody knows share one allowance, which takes nothing from those who are known', async () => {
  const known = await served.account('blue', 'known', ['*'])
  expect((await ask(known, 'blue/instances')).status).toBe(200)
  const answers = await Promise.all(Array.from({ length: 30 }, (_, guess) => ask(`guess-${guess}`)))
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([401, 429]))
  expect((await ask(known, 'blue/instances')).status).toBe(200)
})

test('what is no HTTP, or has no end to its headers, is answered in the same words', async () => {
  const { port } = new URL(served.base)
  const say = async (words: string) => {
    const socket = connect(Number(port), '127.0.0.1')
    socket.write(words)
    const said = await text(socket)
    return [said.split(' ', 2)[1], JSON.parse(said.split('\r\n\r\n', 2)[1] ?? '').code]
  }
  expect(await say('hello\r\n\r\n')).toEqual(['400', 'malformed'])
  expect(await say(`GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(40_000)}\r\n\r\n`)).toEqual(['413', 'too_large'])
  expect(await say('GET /api/v1/x HTTP/1.1\r\nhost: a b\r\nconnection: close\r\n\r\n')).toEqual(['400', 'malformed'])
})
