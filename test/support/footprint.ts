import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connectBus, recordedRuns } from '#core/bus'
import { type BusKeys, createUserKey, signBusUser } from '#core/identity'
import { createLogger } from '#core/telemetry'
import { processesOf, type TestPlatform } from './platform.ts'
import { platformPod } from './pods.ts'

/** What a platform occupies at this moment, each list sorted, so that two of them can be compared. */
export interface Footprint {
  /** pid and command line. */
  processes: string[]
  /** Addresses that its processes listen on, `127.x.y.z:port`. */
  sockets: string[]
  podFolders: string[]
  /** `<stream>/<consumer>` */
  consumers: string[]
  /** Runs of which the bus holds a record, by uid. */
  records: string[]
}

export async function footprint(platform: TestPlatform): Promise<Footprint> {
  return {
    processes: processesOf(platform.dataDir)
      .map(({ pid, command }) => `${pid} ${command}`)
      .filter((line) => !line.includes('kubectl'))
      .sort(),
    sockets: await listening(platform),
    podFolders: readdirSync(join(platform.dataDir, 'node', 'pods')).sort(),
    ...(await onTheBus(platform)),
  }
}

/** Listening sockets in the platform's part of 127.0.0.0/8. */
async function listening(platform: TestPlatform): Promise<string[]> {
  const octet = ((await platformPod(platform, 'k8sclaw-nats')).status?.podIP ?? '').split('.')[1]
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, local = '', , state] = line.trim().split(/\s+/)
      if (state !== '0A') return []
      const [address = '', port = ''] = local.split(':')
      const host = [...Buffer.from(address, 'hex')].reverse().join('.')
      return host.startsWith(`127.${octet}.`) ? [`${host}:${Number.parseInt(port, 16)}`] : []
    })
    .sort()
}

/** Asked with the platform's own keys, as the controller may ask. */
async function onTheBus(platform: TestPlatform): Promise<Pick<Footprint, 'consumers' | 'records'>> {
  const { data } = await platform.getJson<{ data: Record<string, string> }>(
    ...['get', 'secret', 'k8sclaw-bus', '-n', 'k8sclaw-system'],
  )
  const decoded = Object.entries(data).map(([name, text]) => [name, Buffer.from(text, 'base64').toString().trim()])
  const keys = Object.fromEntries(decoded) as BusKeys
  const { publicKey, seed } = createUserKey()
  const expiresAt = new Date(Date.now() + 60_000)
  const user = { name: 'test', identity: { kind: 'controller' }, userPublicKey: publicKey, expiresAt } as const
  const closing = new AbortController()
  const log = createLogger('test')
  log.level = 'silent'
  const bus = await connectBus({
    url: `nats://${(await platformPod(platform, 'k8sclaw-nats')).status?.podIP}:4222`,
    credentials: async () => ({ jwt: signBusUser({ keys, ...user }), seed, expiresAt }),
    name: 'test',
    signal: closing.signal,
    log,
  })
  try {
    const consumers = await Promise.all(
      ['RUNS', 'LIVE', 'USAGE'].map(async (stream) => {
        const reply = await bus.request(`$JS.API.CONSUMER.NAMES.${stream}`, '')
        return reply.json<{ consumers?: string[] | null }>().consumers?.map((name) => `${stream}/${name}`) ?? []
      }),
    )
    const records = await recordedRuns(bus)
    return { consumers: consumers.flat().sort(), records: records.map((run) => run.uid).sort() }
  } finally {
    closing.abort()
    await bus.close()
  }
}
