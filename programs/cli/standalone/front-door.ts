import { connect, createServer, type Server, type Socket } from 'node:net'
import { ClawError, errorMessage } from '#core/errors'
import { listen } from './addresses.ts'

/** Where to pass a connection on to; undefined while there is nothing to pass it to. */
export type Target = () => { host: string; port: number } | undefined

export interface FrontDoor {
  port: number
  close(): Promise<void>
}

/**
 * Listens on 127.0.0.1 and passes every connection on to wherever the API server's Service answers at that moment.
 * Throws ClawError `unavailable` with a sentence where the port is taken.
 */
export async function openFrontDoor(port: number, target: Target): Promise<FrontDoor> {
  const open = new Set<Socket>()
  const server: Server = createServer({ noDelay: true }, (client) => {
    const to = target()
    if (!to) {
      client.destroy()
      return
    }
    const upstream = connect({ ...to, noDelay: true })
    for (const socket of [client, upstream]) {
      open.add(socket)
      socket.on('close', () => open.delete(socket))
    }
    client.on('error', () => upstream.destroy())
    upstream.on('error', () => client.destroy())
    client.pipe(upstream).pipe(client)
  })
  try {
    await listen(server, '127.0.0.1', port)
  } catch (error) {
    const busy = (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
    const why = busy ? 'is in use; choose another with --port' : `cannot be used: ${errorMessage(error)}`
    throw new ClawError('unavailable', `port ${port} on 127.0.0.1 ${why}`, { cause: error, field: 'port' })
  }
  const address = server.address()
  return {
    port: typeof address === 'object' && address ? address.port : port,
    async close() {
      for (const socket of open) socket.destroy()
      await new Promise<void>((done) => server.close(() => done()))
    },
  }
}
