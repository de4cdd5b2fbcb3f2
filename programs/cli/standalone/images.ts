import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { ClawError } from '#core/errors'
import { channelTypes } from '#core/kinds'
import type { Image, ImageTable } from '#localkube/node'

/** Finds a program on PATH or where Debian keeps what only root uses. */
export function findProgram(name: string, path = process.env.PATH ?? ''): string | undefined {
  for (const folder of [...path.split(delimiter), '/usr/sbin', '/usr/local/sbin', '/sbin']) {
    const candidate = join(folder, name)
    try {
      accessSync(candidate, constants.X_OK)
      return candidate
    } catch {
      // Not here: the next folder may have it.
    }
  }
  return undefined
}

/** The controller alone makes much that is soon forgotten: with 1 MiB a quarter of its time goes into collecting it. */
function youngMiB(program: string): number {
  return program === 'controller' ? 8 : 1
}

/**
 * Of the 256 MiB of a channel's pod. A Node that sees no limit of its own takes the machine's memory for the measure of how
 * much may lie about that nothing holds any more.
 */
function oldMiB(program: string): number[] {
  return program.startsWith('channel-') ? [160] : []
}

/** Whose pods may use the images that see this machine. */
const systemOnly = { confined: false, namespaces: ['k8sclaw-system'] }

/**
 * The images of one machine: each program of the platform is its bundle under the Node that runs this one. What a tenant
 * may name, in a pod or as the image of an agent, is confined: a container's command replaces the image's own. The
 * bridge and the channels alone have this machine's network: they speak with the platform, and with their services.
 */
export function imageTable(root: string): ImageTable {
  const nats = natsServer()
  const dist = join(root, 'dist')
  // Named by where they are mounted: whoever runs them need not be let into the checkout, nor learn where it lies.
  // A small young generation and one helper thread, since these programs hold little and twenty share a machine.
  const program = (name: string, rights: Pick<Image, 'confined' | 'hostNetwork' | 'namespaces'>) => ({
    argv: [
      '/opt/k8sclaw/node',
      `--max-semi-space-size=${youngMiB(name)}`,
      ...oldMiB(name).map((size) => `--max-old-space-size=${size}`),
      '--v8-pool-size=1',
      `/opt/k8sclaw/${name}.mjs`,
    ],
    ...rights,
    mounts: [
      { source: process.execPath, target: '/opt/k8sclaw/node', readOnly: true as const },
      { source: bundle(dist, name), target: `/opt/k8sclaw/${name}.mjs`, readOnly: true as const },
    ],
  })
  // The database is not all in one bundle: what PGlite reads lies beside it.
  const databaseImage = {
    argv: ['/opt/k8sclaw/node', '/opt/database/database.mjs'],
    ...systemOnly,
    mounts: [
      { source: process.execPath, target: '/opt/k8sclaw/node', readOnly: true as const },
      { source: join(dist, 'database'), target: '/opt/database', readOnly: true as const },
    ],
  }
  // The API server looks beside itself for what its encoder of memories reads.
  const apiserverImage = {
    argv: ['/opt/k8sclaw/node', '--max-semi-space-size=1', '--v8-pool-size=1', '/opt/programs/apiserver.mjs'],
    ...systemOnly,
    mounts: [
      { source: process.execPath, target: '/opt/k8sclaw/node', readOnly: true as const },
      { source: dirname(bundle(dist, 'apiserver')), target: '/opt/programs', readOnly: true as const },
    ],
  }
  const host = { confined: true, forwardPorts: true }
  const examples = join(root, 'examples', 'agents')
  return {
    'k8sclaw/controller': program('controller', systemOnly),
    'k8sclaw/apiserver': apiserverImage,
    'k8sclaw/webhook': program('webhook', systemOnly),
    'k8sclaw/gateway': program('gateway', systemOnly),
    'k8sclaw/database': databaseImage,
    'k8sclaw/bridge': program('bridge', { confined: true, hostNetwork: true }),
    'k8sclaw/sandbox': program('sandbox', { confined: true }),
    'k8sclaw/agent': { ...program('agent', { confined: true }), forwardPorts: true },
    // As the bridge, they have this machine's network: a service is somewhere out there.
    ...Object.fromEntries(
      channelTypes
        .map((type) => `channel-${type}`)
        .filter((name) => existsSync(join(dist, `${name}.mjs`)))
        .map((name) => [`k8sclaw/${name}`, program(name, { confined: true, hostNetwork: true })]),
    ),
    'k8sclaw.io/host': { argv: [], ...host },
    'k8sclaw.io/example-sh': {
      argv: ['/bin/sh', '/agent/agent.sh'],
      ...host,
      mounts: [{ source: join(examples, 'sh'), target: '/agent', readOnly: true }],
    },
    'k8sclaw.io/example-python': {
      argv: ['/usr/bin/python3', '/agent/agent.py'],
      ...host,
      mounts: [{ source: join(examples, 'python'), target: '/agent', readOnly: true }],
    },
    nats: { argv: [nats], ...systemOnly },
  }
}

/** The nats-server to run: NATS_SERVER where it is set, else the one on PATH. */
function natsServer(): string {
  const named = process.env.NATS_SERVER
  const found = named ? (existsSync(named) ? named : undefined) : findProgram('nats-server')
  if (found) return found
  const where = named ? `NATS_SERVER names ${named}, which does not exist` : 'it is not on PATH'
  throw new ClawError(
    'unavailable',
    `nats-server is needed and ${where}: install it (Debian: apt-get install nats-server) and try again`,
  )
}

function bundle(dist: string, name: string): string {
  const file = join(dist, `${name}.mjs`)
  if (!existsSync(file)) throw new ClawError('unavailable', `${file} is missing: run \`make build\` first`)
  return file
}
