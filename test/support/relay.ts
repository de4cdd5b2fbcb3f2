/** A way to a TCP server that can be cut, as a network is, or fall silent, as a server that is stopped, and be mended. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface Relay {
  port: number
  /** Ends every connection, and every one that is tried, until it is mended. */
  cut(): void
  /** Takes what is sent and every connection, and passes nothing on, until it is mended. */
  hush(): void
  mend(): void
  close(): Promise<void>
}

export async function startRelay(port: number, host = '127.0.0.1'): Promise<Relay> {
  const sockets = new Set<Socket>()
  const pairs = new Set<readonly [Socket, Socket]>()
  let isCut = false
  let isHushed = false
  const keep = (socket: Socket, other: Socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      sockets.delete(socket)
      other.destroy()
    })
  }
  const server = createServer((incoming) => {
    if (isCut) {
      incoming.destroy()
      return
    }
    const outgoing = connect(port, host)
    keep(incoming, outgoing)
    keep(outgoing, incoming)
    const pair = [incoming, outgoing] as const
    pairs.add(pair)
    incoming.on('close', () => pairs.delete(pair))
    if (!isHushed) join(pair)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const destroyAll = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    cut() {
      isCut = true
      destroyAll()
    },
    hush() {
      isHushed = true
      for (const [one, other] of pairs) {
        one.unpipe(other)
        other.unpipe(one)
      }
    },
    mend() {
      if (isHushed) for (const pair of pairs) join(pair)
      isCut = false
      isHushed = false
    },
    async close() {
      destroyAll()
      server.close()
      await once(server, 'close')
    },
  }
}

function join([one, other]: readonly [Socket, Socket]): void {
  one.pipe(other).pipe(one)
}
