/**
 * What may lie between a bot and any service over HTTP, put around a stand-in: nobody listens, what stands before the
 * service answers in its place, connections break before a call arrives or after it was performed.
 */
import type { IncomingMessage, RequestListener, Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'

interface Cut {
  left: number
  /** Of method and path. */
  calls: RegExp
  /** Whether the service has performed the call by then. */
  performed: boolean
}

/**
 * Loopback addresses of this process alone. On one that others use too, somebody's outgoing connection could take the
 * port of a server that stops listening for a while.
 */
let addresses = 0
const ownAddress = () => `127.${200 + (++addresses % 50)}.${(process.pid >> 8) & 255}.${process.pid & 255 || 1}`

export class Faults {
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined
  #address: AddressInfo | undefined
  #status = 0
  #cut: Cut | undefined

  /** Listens, at any port unless one is told; gives host and port. */
  async listen(server: Server, port = 0): Promise<string> {
    this.#server = server
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
    const host = ownAddress()
    await new Promise<void>((resolve) => server.listen(port, host, resolve))
    this.#address = server.address() as AddressInfo
    return `${host}:${this.#address.port}`
  }

  /** A stand-in's handler, with what goes wrong. */
  around(handler: RequestListener): RequestListener {
    return (request, response) => {
      if (this.#status > 0) {
        response.writeHead(this.#status, { 'content-type': 'text/html' }).end('<html><h1>Bad Gateway</h1></html>')
        return
      }
      const cut = this.#cutFor(request)
      if (!cut) return void handler(request, response)
      if (!cut.performed) return void request.socket.destroy()
      response.end = () => {
        request.socket.destroy()
        return response
      }
      handler(request, response)
    }
  }

  /** The same for connections that become WebSockets: true where there is none to be had. */
  refuses(socket: Duplex): boolean {
    if (this.#status === 0) return false
    socket.end(`HTTP/1.1 ${this.#status} Bad Gateway\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)
    return true
  }

  /** Nobody listens, and every connection is gone; or somebody does again, at the same address. */
  async refuseConnections(is: boolean): Promise<void> {
    const server = this.#server
    const at = this.#address
    if (!server || !at || server.listening !== is) return
    if (!is) return new Promise((resolve) => server.listen(at.port, at.address, resolve))
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  /** Every call is answered with this status, by no program of the service's; 0 ends that. */
  answerWith(status: number): void {
    this.#status = status
  }

  /** The connection breaks at the next `count` calls whose method and path match. */
  cut(count: number, calls: RegExp, { performed }: { performed: boolean }): void {
    this.#cut = { left: count, calls, performed }
  }

  /** How many of the calls that are to be cut did not come yet. */
  get cutsLeft(): number {
    return this.#cut?.left ?? 0
  }

  #cutFor({ method = '', url = '' }: IncomingMessage): Cut | undefined {
    const cut = this.#cut
    if (!cut || cut.left === 0 || !cut.calls.test(`${method} ${url}`)) return undefined
    cut.left--
    return cut
  }
}
