import { once } from 'node:events'
import { request } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { createLogger } from '#core/telemetry'
import type { ChatService } from './port.ts'
import { channelServer } from './server.ts'

const log = createLogger('channel-server-test')
log.level = 'silent'
const MiB = 1024 * 1024
const cleanups: (() => void)[] = []
afterEach(() => {
  for (const clean of cleanups.splice(0).reverse()) clean()
})

async function served(maxWebhookBytes?: number): Promise<{ port: number; read: number[] }> {
  const read: number[] = []
  const service: Pick<ChatService, 'webhook' | 'maxWebhookBytes'> = {
    ...(maxWebhookBytes !== undefined && { maxWebhookBytes }),
    async webhook({ body }) {
      read.push(body.length)
      return { status: 200 }
    },
  }
  const server = channelServer(service, () => true, log).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { port, read }
}

/** In pieces, without saying beforehand how many bytes there will be. */
async function post(port: number, bytes: number): Promise<number> {
  const asked = request({ port, host: '127.0.0.1', path: '/webhook', method: 'POST' })
  const answered = once(asked, 'response')
  answered.catch(() => {})
  // The answer may come before all is sent, and the connection is closed with it.
  asked.on('error', () => {})
  for (let sent = 0; sent < bytes; sent += MiB) asked.write(Buffer.alloc(Math.min(MiB, bytes - sent)))
  asked.end()
  const [response] = await answered
  response.resume()
  return response.statusCode
}

test('a body is read as far as its service sends such, and not a byte further', async () => {
  const usual = await served()
  expect(await post(usual.port, MiB)).toBe(200)
  expect(await post(usual.port, MiB + 1)).toBe(413)
  expect(usual.read).toEqual([MiB])
  const large = await served(3 * MiB)
  expect(await post(large.port, 3 * MiB)).toBe(200)
  expect(await post(large.port, 3 * MiB + 1)).toBe(413)
  expect(large.read).toEqual([3 * MiB])
})

test('what is too long by its own account is refused before it is sent', async () => {
  const { port, read } = await served()
  const socket = await opened(port, 1024 * MiB)
  const [answer] = await once(socket, 'data')
  expect(String(answer)).toMatch(/^HTTP\/1.1 413 /)
  expect(read).toEqual([])
})

test('who sends slowly and from many places at once is not kept in memory', async () => {
  const { port, read } = await served(3 * MiB)
  const sockets = await Promise.all(Array.from({ length: 16 }, () => opened(port, 3 * MiB)))
  const refused = sockets.map((socket) => once(socket, 'data').then(([answer]) => String(answer)))
  for (const socket of sockets) socket.write(Buffer.alloc(3 * MiB - 1))
  expect(await Promise.any(refused)).toMatch(/^HTTP\/1.1 503 /)
  for (const socket of sockets) socket.destroy()
  for (const one of refused) one.catch(() => {})
  await expect
    .poll(
      async () => {
        await sleep(10)
        return await post(port, 3 * MiB)
      },
      { timeout: 20_000 },
    )
    .toBe(200)
  expect(new Set(read)).toEqual(new Set([3 * MiB]))
})

/** A request of which only the head has been sent. */
async function opened(port: number, length: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  cleanups.push(() => socket.destroy())
  socket.write(`POST /webhook HTTP/1.1\r\nhost: channel\r\ncontent-length: ${length}\r\n\r\n`)
  return socket
}
