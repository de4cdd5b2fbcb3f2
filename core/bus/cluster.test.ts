import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type BusIdentity, createUserKey, mintBusKeys, runSubjects, signBusUser } from '#core/identity'
import { createLogger } from '#core/telemetry'
import { freePorts } from '../../test/support/ports.ts'
import { jsRequest } from './api.ts'
import { type Bus, connectBus } from './bus.ts'
import { publish } from './publish.ts'
import { ensureStreams, streams } from './streams.ts'

/** Three servers of somebody else's, who took our accounts in; the Secret holds no configuration of theirs. */
const { 'nats.conf': configuration, ...keys } = mintBusKeys()
const log = createLogger('test')
log.level = 'silent'
const patient = { timeout: 30_000, interval: 200 }

let folder: string
const servers: ChildProcess[] = []
const urls: string[] = []
let controller: Bus
const closing = new AbortController()

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'k8sclaw-nats-cluster-'))
  const ports = await freePorts(6)
  const routes = ports.slice(3).map((port) => `nats://127.0.0.1:${port}`)
  for (const [i, port] of ports.slice(0, 3).entries()) {
    const file = join(folder, `${i}.conf`)
    await writeFile(file, `${configuration}server_name: n${i}\n`)
    const flags = ['-c', file, '-a', '127.0.0.1', '-p', `${port}`, '-sd', join(folder, `store-${i}`)]
    const cluster = ['--cluster_name', 'test', '--cluster', routes[i] ?? '', '--routes', routes.join(',')]
    servers.push(spawn('nats-server', [...flags, ...cluster], { stdio: 'ignore' }))
    urls.push(`nats://127.0.0.1:${port}`)
  }
  controller = await connect({ kind: 'controller' })
  // The servers elect a leader first.
  await vi.waitFor(() => ensureStreams(controller, { replicas: 3 }), patient)
}, 60_000)
afterAll(async () => {
  closing.abort()
  await controller?.close()
  await Promise.all(servers.map(kill9))
  await rm(folder, { recursive: true, force: true })
})

async function connect(identity: BusIdentity): Promise<Bus> {
  const { publicKey, seed } = createUserKey()
  const expiresAt = new Date(Date.now() + 3_600_000)
  const jwt = signBusUser({ keys, userPublicKey: publicKey, name: identity.kind, identity, expiresAt })
  // The others are learnt from the first that answers.
  const url = urls[1] ?? ''
  return await connectBus({
    url,
    credentials: async () => ({ jwt, seed, expiresAt }),
    name: 'test',
    signal: closing.signal,
    log,
  })
}

async function kill9(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return
  const ended = new Promise((resolve) => server.once('exit', resolve))
  server.kill('SIGKILL')
  await ended
}

test('streams on three servers take entries, once and in order, when one of them is gone', {
  timeout: 90_000,
}, async () => {
  const infos = await Promise.all(
    streams.map(({ name }) => jsRequest<{ config: { num_replicas: number } }>(controller, `STREAM.INFO.${name}`)),
  )
  expect(infos.map(({ config }) => config.num_replicas)).toEqual(streams.map(() => 3))

  const run = { namespace: 'team', instance: 'bot', uid: 'clustered' }
  const bridge = await connect({ kind: 'bridge', run })
  const { journal } = runSubjects(run)
  let last = 0
  const append = async (i: number) => {
    const options = { id: `clustered/1/${i}`, expectedLast: last, signal: AbortSignal.timeout(60_000) }
    last = (await publish(bridge, journal, { i }, options)).sequence
  }
  for (let i = 0; i < 5; i++) await append(i)
  const [victim] = servers
  if (victim) await kill9(victim)
  for (let i = 5; i < 10; i++) await append(i)
  const { state } = await jsRequest<{ state: { messages: number } }>(controller, 'STREAM.INFO.RUNS')
  expect(state.messages).toBe(10)
  await bridge.close()
})
