import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { ClawError } from '#core/errors'
import type { ImageTable } from '#localkube/node'

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

/**
 * The images of one machine: each program of the platform is its bundle under the Node that runs this one, and the
 * containers that an agent controls (agent, sandbox, the examples, the machine's own tools) are confined.
 */
export function imageTable(root: string): ImageTable {
  const nats = natsServer()
  const dist = join(root, 'dist')
  // Named by where they are mounted: whoever runs them need not be let into the checkout, nor learn where it lies.
  // A small young generation, since these programs hold little and twenty of them share a machine.
  const program = (name: string, confined: boolean) => ({
    argv: ['/opt/k8sclaw/node', '--max-semi-space-size=2', `/opt/k8sclaw/${name}.mjs`],
    confined,
    mounts: [
      { source: process.execPath, target: '/opt/k8sclaw/node', readOnly: true as const },
      { source: bundle(dist, name), target: `/opt/k8sclaw/${name}.mjs`, readOnly: true as const },
    ],
  })
  const host = { confined: true, forwardPorts: true }
  const examples = join(root, 'examples', 'agents')
  return {
    'k8sclaw/controller': program('controller', false),
    'k8sclaw/apiserver': program('apiserver', false),
    'k8sclaw/webhook': program('webhook', false),
    'k8sclaw/gateway': program('gateway', false),
    'k8sclaw/bridge': program('bridge', false),
    'k8sclaw/sandbox': program('sandbox', true),
    'k8sclaw/agent': { ...program('agent', true), forwardPorts: true },
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
    nats: { argv: [nats], confined: false },
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
