/**
 * Loopback ports of a confined container that lead out of it, without a process that stays: a first program inside
 * listens there, hands the listening sockets to the node over its channel, and becomes the container's own program. A
 * socket stays in the network it was made in, so the node accepts the connections, and only it decides where they lead.
 */
import { connect, type Server } from 'node:net'

/** Where the confined container finds the Node binary that runs `listenAndBecome`. */
export const forwarderNode = '/run/localkube/node'

/** Text, since it runs by `node -e` inside, whatever this module is bundled into. Arguments: ports, then the command. */
const listenAndBecome = `
const { createServer } = require('node:net')
const [ports, ...command] = process.argv.slice(1)
const give = (port) => new Promise((resolve, reject) => {
  const server = createServer().once('error', reject)
  server.listen(Number(port), '127.0.0.1', () =>
    process.send({ port: Number(port) }, server, (error) => error ? reject(error) : resolve()))
})
Promise.all(ports.split(',').map(give)).then(() => {
  process.disconnect()
  const { NODE_CHANNEL_FD, NODE_CHANNEL_SERIALIZATION_MODE, ...env } = process.env
  process.execve(command[0], command, env)
}, (error) => {
  console.error('localkube: ' + error.message)
  process.exit(126)
})`

/** The command that listens on these ports and then becomes `command`, whose first word is an absolute path. */
export function forwarding(ports: number[], command: string[]): string[] {
  return [forwarderNode, '--no-warnings', '-e', listenAndBecome, '--', ports.join(','), ...command]
}

/** Leads every connection that the server accepts to a port of the pod; either side's end is passed on. */
export function leadTo(server: Server, host: string, port: number): void {
  server.on('connection', (inside) => {
    inside.allowHalfOpen = true
    const outside = connect({ host, port, allowHalfOpen: true, noDelay: true })
    inside.setNoDelay(true)
    inside.on('error', () => outside.destroy())
    outside.on('error', () => inside.resetAndDestroy())
    inside.pipe(outside)
    outside.pipe(inside)
  })
}
