import { once } from 'node:events'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ensureStreams, lastMessage } from '#core/bus'
import { channelSubjects, signBusUser } from '#core/identity'
import { createLogger } from '#core/telemetry'
import { startNats, type TestNats } from '../../../test/support/nats.ts'
import { waitForSecret } from './refused-secret.ts'

const channel = { namespace: 'team', instance: 'helper', channel: 'chat' }
const log = createLogger('test')
log.level = 'silent'
let nats: TestNats
let endpoint: Server
let folder: string

function identityFor({ userPublicKey }: { userPublicKey: string }) {
  const expiresAt = new Date(Date.now() + 3_600_000)
  const identity = { kind: 'channel', channel } as const
  const busJwt = signBusUser({ keys: nats.keys, userPublicKey, name: 'channel', identity, expiresAt })
  return { busJwt, expiresAt: expiresAt.toISOString() }
}

beforeAll(async () => {
  nats = await startNats()
  folder = await mkdtemp(join(tmpdir(), 'channel-refused-'))
  endpoint = createServer((request, response) => {
    void json(request).then((body) => response.end(JSON.stringify(identityFor(body as { userPublicKey: string }))))
  })
  endpoint.listen(0, '127.0.0.1')
  await once(endpoint, 'listening')
})
afterAll(async () => {
  endpoint.closeAllConnections()
  endpoint.close()
  await nats.close()
  await rm(folder, { recursive: true })
})

it('says what is wrong with a Secret until it is another, and ends when it is told to', async () => {
  const controller = await nats.connect({ kind: 'controller' })
  await ensureStreams(controller)
  await writeFile(join(folder, 'token'), 'of the pod')
  await writeFile(join(folder, 'TOKEN'), '')
  const { port } = endpoint.address() as AddressInfo
  const settings = {
    channel,
    secretDir: folder,
    busUrl: nats.url,
    trust: {},
    identity: { url: `http://127.0.0.1:${port}`, tokenFile: join(folder, 'token'), trust: {} },
    listen: { host: '127.0.0.1', port: 0 },
    metrics: undefined,
  }
  process.env.TOKEN = ''
  const stop = new AbortController()
  const wait = () => waitForSecret({ settings, names: ['TOKEN'], why: 'TOKEN must not be empty' }, stop.signal, log)
  const waiting = wait()
  await expect
    .poll(async () => (await lastMessage(controller, 'CHANNEL_HEALTH', channelSubjects(channel).health))?.value, {
      timeout: 20_000,
    })
    .toMatchObject({ state: 'Error', reason: 'SecretIncomplete', message: 'TOKEN must not be empty' })
  await writeFile(join(folder, '.next'), 'a token')
  await rename(join(folder, '.next'), join(folder, 'TOKEN'))
  await waiting
  const again = wait()
  stop.abort()
  await again
  delete process.env.TOKEN
}, 60_000)
