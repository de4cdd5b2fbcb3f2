import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openFile } from './open-file.ts'

let own: Server
let asked: string[]
let origin: string

beforeEach(async () => {
  asked = []
  own = createServer((request, response) => {
    asked.push(`${request.url} ${request.headers.authorization}`)
    const status = Number(request.url?.slice(1, 4))
    response.writeHead(status, { location: '/200', 'retry-after': '7' }).end('content')
  }).listen(0, '127.0.0.1')
  await once(own, 'listening')
  origin = `http://127.0.0.1:${(own.address() as AddressInfo).port}`
})
afterEach(() => {
  own.closeAllConnections()
  own.close()
})

const open = (address: string, origins = [origin]) =>
  openFile(address, {
    ...{ service: 'Chat', origins, headers: { authorization: 'Bearer secret' } },
    signal: new AbortController().signal,
  })
const refused = (address: string) => open(address).catch(({ refusal, reason, afterMs }) => [refusal, reason, afterMs])

test('a file is opened where the service keeps files', async () => {
  const file = await open(`${origin}/200/photo.png`)
  expect(String(await buffer(file))).toBe('content')
  expect(asked).toEqual(['/200/photo.png Bearer secret'])
})

test('nobody else is asked, whatever the address looks like', async () => {
  const { host, port } = new URL(origin)
  for (const address of [
    ...['http://169.254.169.254/200', `https://${host}/200`, `http://localhost:${port}/200`, 'file:///etc/passwd'],
    ...[
      `http://${host}@example.org/200`,
      `http://x:y@${host}/200`,
      `${origin}.example.org/200`,
      '',
      '//200',
      'x'.repeat(9),
    ],
  ]) {
    expect(await refused(address), address).toEqual(['never', 'FileElsewhere', undefined])
  }
  expect(asked).toEqual([])
})

test('where the address leads on to is not gone to', async () => {
  expect(await refused(`${origin}/302`)).toEqual(['never', 'FileGone', undefined])
  expect(asked).toHaveLength(1)
})

test('what is gone is told from what may come yet', async () => {
  for (const status of [403, 404, 410])
    expect(await refused(`${origin}/${status}`)).toEqual(['never', 'FileGone', undefined])
  for (const status of [429, 500, 503]) expect(await refused(`${origin}/${status}`)).toEqual(['later', 'Outage', 7000])
  own.closeAllConnections()
  own.close()
  await once(own, 'close')
  const failed = await open(`${origin}/200?key=secret`).catch((error: unknown) => error)
  expect(String(failed)).toMatch(/Chat does not answer for a file/)
  expect(String((failed as Error).stack) + JSON.stringify(failed)).not.toMatch(/secret/)
})
