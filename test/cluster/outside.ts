/**
 * What lies outside of the node: a network namespace of its own, where the control plane is started, with an address of
 * the internet's (one that documentation uses) and the one where clouds keep a machine's credentials. Both answer anybody
 * on port 80, and names on port 53: whoever is refused there was refused on the way.
 */
import { execFileSync, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

export const internet = '203.0.113.10'
export const metadata = '169.254.169.254'

export interface Ranges {
  podRange: string
  serviceRange: string
}

/**
 * Wires the namespace, with address `outside`, to this one, the node's, whose way out it becomes. `within` is the command
 * that starts a program there.
 */
export async function startOutside(outside: string, node: string, ranges: Ranges) {
  const child = spawn('unshare', ['--net', process.execPath, import.meta.filename], { stdio: 'ignore' })
  const there = ['nsenter', '--net', `--target=${child.pid}`]
  const within = (command: string) => run('nsenter', ...there.slice(1), ...command.split(' '))
  run('ip', ...'link set lo up'.split(' '))
  const namespace = `/proc/${child.pid}/ns/net`
  // The child has its namespace a moment after it was started.
  for (let tries = 0; execFileSync('readlink', [namespace]).equals(execFileSync('readlink', ['/proc/self/ns/net'])); ) {
    if (++tries > 100) throw new Error('no network namespace could be made')
    await sleep(50)
  }
  run('ip', ...`link add uplink type veth peer name wire netns ${child.pid}`.split(' '))
  run('ip', ...`addr add ${node}/24 dev uplink`.split(' '))
  run('ip', ...'link set uplink up'.split(' '))
  within('ip link set lo up')
  within(`ip addr add ${outside}/24 dev wire`)
  for (const address of [internet, metadata]) within(`ip addr add ${address}/32 dev lo`)
  within('ip link set wire up')
  // The control plane calls webhooks by their Services.
  for (const range of [ranges.podRange, ranges.serviceRange]) within(`ip route add ${range} via ${node}`)
  run('ip', 'route', 'add', 'default', 'via', outside)
  return { within: there, close: () => child.kill('SIGKILL') }
}

function run(file: string, ...args: string[]): void {
  execFileSync(file, args, { stdio: ['ignore', 'ignore', 'inherit'] })
}

if (import.meta.main) {
  createServer((_, response) => response.end('outside')).listen(80)
  const names = createSocket('udp4')
  // Any datagram back is an answer.
  names.on('message', (message, { port, address }) => names.send(message, port, address))
  names.bind(53)
}
