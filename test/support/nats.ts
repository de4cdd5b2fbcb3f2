/**
 * A real nats-server for tests: operator mode with fresh keys, its own store, a free port. It can be killed like a
 * crash and started again on the same store and port. `close` leaves no process and no file.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Bus, type BusCredentials, connectBus } from '#core/bus'
import { type BusIdentity, type BusKeys, createUserKey, mintBusKeys, signBusUser } from '#core/identity'
import { createLogger } from '#core/telemetry'
import type { TestCertificate } from './tls.ts'

export interface TestNats {
  url: string
  keys: BusKeys
  /** A connection with exactly the rights of that identity, closed by `close`. */
  connect(identity: BusIdentity): Promise<Bus>
  /** Credentials for a connection of one's own making. */
  credentials(identity: BusIdentity, lifetimeMs?: number): BusCredentials
  /** Ends the server as a crash would. */
  kill9(): Promise<void>
  /** Starts it again on the same port, killing it first if it runs; on the same store, unless that is to be lost. */
  restart(options?: { loseStore?: boolean }): Promise<void>
  close(): Promise<void>
}

export async function startNats(keys: BusKeys = mintBusKeys(), tls?: TestCertificate): Promise<TestNats> {
  const folder = await mkdtemp(join(tmpdir(), 'k8sclaw-nats-'))
  const configFile = join(folder, 'nats.conf')
  await writeFile(configFile, keys['nats.conf'])
  const closing = new AbortController()
  const open: Bus[] = []
  const log = createLogger('test')
  log.level = 'silent'
  const secured = tls ? ['--tls', `--tlscert=${join(tls.dir, 'tls.crt')}`, `--tlskey=${join(tls.dir, 'tls.key')}`] : []
  let server = await launch(folder, configFile, -1, secured)
  // A test that dies of an error of its own must not leave the server behind.
  const onExit = () => server.process.kill('SIGKILL')
  process.once('exit', onExit)
  const url = `${tls ? 'tls' : 'nats'}://127.0.0.1:${server.port}`

  const credentials = (identity: BusIdentity, lifetimeMs = 3_600_000): BusCredentials => {
    const { publicKey, seed } = createUserKey()
    const expiresAt = new Date(Date.now() + lifetimeMs)
    return {
      jwt: signBusUser({ keys, userPublicKey: publicKey, name: identity.kind, identity, expiresAt }),
      seed,
      expiresAt,
    }
  }
  const kill9 = async () => {
    if (server.process.exitCode !== null || server.process.signalCode !== null) return
    const ended = new Promise((resolve) => server.process.once('exit', resolve))
    server.process.kill('SIGKILL')
    await ended
  }
  return {
    url,
    keys,
    credentials,
    async connect(identity) {
      const given = credentials(identity)
      const bus = await connectBus({
        url,
        ...(tls && { trust: { ca: tls.ca } }),
        credentials: async () => given,
        name: identity.kind,
        signal: closing.signal,
        log,
      })
      open.push(bus)
      return bus
    },
    kill9,
    async restart({ loseStore = false } = {}) {
      await kill9()
      if (loseStore) await rm(join(folder, 'store'), { recursive: true })
      server = await launch(folder, configFile, server.port, secured)
    },
    async close() {
      closing.abort()
      await Promise.all(open.map((bus) => bus.close()))
      await kill9()
      process.off('exit', onExit)
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function launch(
  folder: string,
  configFile: string,
  port: number,
  secured: string[],
): Promise<{ process: ChildProcess; port: number }> {
  const flags = ['-c', configFile, '-a', '127.0.0.1', '-p', String(port), '-sd', join(folder, 'store')]
  const process = spawn('nats-server', [...flags, ...secured, '--ports_file_dir', folder], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  process.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-16_384)
  })
  let failed: Error | undefined
  process.once('error', (error) => {
    failed = error
  })
  for (let waited = 0; waited < 15_000; waited += 20) {
    if (failed) throw new Error('nats-server cannot be started; is it on PATH?', { cause: failed })
    if (process.exitCode !== null) throw new Error(`nats-server ended at once:\n${said}`)
    const bound = await boundPort(folder, process.pid)
    if (bound !== undefined && said.includes('Server is ready')) return { process, port: bound }
    await sleep(20)
  }
  process.kill('SIGKILL')
  throw new Error(`nats-server was not ready in time:\n${said}`)
}

/** The port from the file that the server writes when it listens. */
async function boundPort(folder: string, pid: number | undefined): Promise<number | undefined> {
  const file = (await readdir(folder)).find((name) => name.endsWith(`_${pid}.ports`))
  if (!file) return undefined
  const text = await readFile(join(folder, file), 'utf8').catch(() => '')
  const match = /(?:nats|tls):\/\/[^"]*:(\d+)/.exec(text)
  return match ? Number(match[1]) : undefined
}
