import { type AddressInfo, createServer, type Socket } from 'node:net'
import type { PGlite } from '@electric-sql/pglite'
import { sameSecret } from '#core/identity'

/*
 * Words of PostgreSQL's protocol 3 (https://www.postgresql.org/docs/current/protocol-message-formats.html): what a client
 * may send in place of a startup message, and the messages after which it waits for the server.
 */
const sslRequest = 80_877_103
const gssRequest = 80_877_104
const cancelRequest = 80_877_102
const terminate = 'X'
const passwordMessage = 'p'
const askPassword = new Uint8Array([0x52, 0, 0, 0, 8, 0, 0, 0, 3])
const awaited = new Set(['Q', 'S', 'F', 'H', 'c', 'f'])
const syncMessage = new Uint8Array([0x53, 0, 0, 0, 4])
const readyForQuery = 0x5a
const idle = 0x49
/** Longest message taken: far above what any program here sends, and below what would fill the memory. */
const maxMessageBytes = 256 * 1024 * 1024
/** The same of whoever is not known yet, and how long one may take to be. */
const maxStrangerBytes = 16 * 1024
const strangerMs = 10_000

export interface OneSessionOptions {
  db: PGlite
  host: string
  port: number
  /** What a client must know, whatever user it names; nobody is asked without. */
  password?: string
  maxConnections: number
}

export interface OneSession {
  port: number
  /** Ends every connection, and returns once none of them asks anything any more. */
  close(): Promise<void>
}

/**
 * PostgreSQL's protocol over PGlite. All connections share its one session, so each has it to itself from the first
 * message of a question until the server is ready for the next one outside of a transaction: what one connection
 * prepares, binds or begins, no other ever meets. A connection that ends leaves neither a transaction nor half a question.
 */
export async function serveOneSession({
  db,
  host,
  port,
  password,
  maxConnections,
}: OneSessionOptions): Promise<OneSession> {
  const turns = new Turns()
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    const connection = new Connection(db, turns, socket, password)
    socket.on('data', (bytes: Buffer) => connection.receive(bytes))
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      sockets.delete(socket)
      connection.end()
    })
    sockets.add(socket)
    socket.setNoDelay(true)
  })
  server.maxConnections = maxConnections
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
      const end = await turns.take()
      end()
    },
  }
}

/** One at a time, in the order of asking. */
class Turns {
  #last: Promise<void> = Promise.resolve()

  /** Resolves, once it is the caller's turn, with what ends it. */
  async take(): Promise<() => void> {
    const before = this.#last
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#last = promise
    await before
    return resolve
  }
}

class Connection {
  readonly #db: PGlite
  readonly #turns: Turns
  readonly #socket: Socket
  #pending: Buffer = Buffer.alloc(0)
  readonly #password: string | undefined
  #started = false
  /** What a client began with that has not shown the password yet. */
  #stranger: Buffer | undefined
  #known = false
  #question: Buffer[] = []
  /** Ends the turn of this connection, while it has one. */
  #release: (() => void) | undefined
  /** What is under way, so that questions of one connection stay in their order. */
  #work: Promise<void> = Promise.resolve()

  constructor(db: PGlite, turns: Turns, socket: Socket, password: string | undefined) {
    this.#db = db
    this.#password = password
    const late = setTimeout(() => {
      if (!this.#known) socket.destroy()
    }, strangerMs)
    socket.once('close', () => clearTimeout(late))
    this.#turns = turns
    this.#socket = socket
  }

  receive(bytes: Buffer): void {
    this.#pending = this.#pending.length > 0 ? Buffer.concat([this.#pending, bytes]) : bytes
    for (let message = this.#next(); message; message = this.#next()) this.#take(message)
  }

  end(): void {
    this.#question = []
    this.#then(async () => {
      if (this.#release) await this.#abandon()
    })
  }

  /** The next whole message, without which more is waited for. */
  #next(): Buffer | undefined {
    const header = this.#started ? 1 : 0
    if (this.#pending.length < header + 4) return undefined
    const length = header + this.#pending.readUInt32BE(header)
    if (length < header + 4 || length > (this.#known ? maxMessageBytes : maxStrangerBytes)) {
      this.#socket.destroy()
      return undefined
    }
    if (this.#pending.length < length) return undefined
    const message = this.#pending.subarray(0, length)
    this.#pending = this.#pending.subarray(length)
    return message
  }

  #take(message: Buffer): void {
    if (!this.#started) {
      const code = message.length >= 8 ? message.readUInt32BE(4) : 0
      if (code === sslRequest || code === gssRequest) {
        this.#socket.write('N')
        return
      }
      if (code === cancelRequest) {
        this.#socket.destroy()
        return
      }
      this.#started = true
      if (this.#password === undefined) this.#admit(message)
      else {
        this.#stranger = message
        this.#socket.write(askPassword)
      }
      return
    }
    const type = String.fromCharCode(message[0] ?? 0)
    if (this.#stranger) {
      this.#judge(this.#stranger, type, message)
      return
    }
    if (type === terminate) {
      this.#socket.end()
      return
    }
    this.#question.push(message)
    if (!awaited.has(type)) return
    const question = this.#question
    this.#question = []
    this.#then(() => this.#ask(question))
  }

  /** What a client began with goes to the database only now. */
  #admit(startup: Buffer): void {
    this.#known = true
    this.#stranger = undefined
    this.#then(() => this.#ask([startup]))
  }

  #judge(startup: Buffer, type: string, message: Buffer): void {
    const given = message.subarray(5, -1).toString('utf8')
    if (type === passwordMessage && sameSecret(given, this.#password ?? '')) this.#admit(startup)
    else if (this.#socket.writable) this.#socket.end(refusal('28P01', 'password authentication failed'))
  }

  /** Asks all of it, in the turn of this connection, which ends where nothing is left open. */
  async #ask(messages: readonly Buffer[]): Promise<void> {
    this.#release ??= await this.#turns.take()
    if (this.#socket.destroyed) return await this.#abandon()
    let last: Uint8Array = new Uint8Array()
    for (const message of messages) {
      await this.#db.execProtocolRawStream(message, {
        onRawData: (bytes) => {
          // It may be a view of memory that the next message overwrites.
          last = Uint8Array.from(bytes)
          if (this.#socket.writable) this.#socket.write(last)
        },
      })
    }
    if (last.at(-6) === readyForQuery && last.at(-1) === idle) this.#giveBack()
  }

  #then(work: () => Promise<void>): void {
    this.#work = this.#work.then(work).catch(async () => {
      this.#socket.destroy()
      await this.#abandon()
    })
  }

  /** Leaves the session as the next one may expect it. */
  async #abandon(): Promise<void> {
    if (!this.#release) return
    try {
      await this.#db.execProtocolRawStream(syncMessage, { onRawData: () => {} })
      if (this.#db.isInTransaction()) await this.#db.exec('rollback')
    } finally {
      this.#giveBack()
    }
  }

  #giveBack(): void {
    this.#release?.()
    this.#release = undefined
  }
}

/** An ErrorResponse after which the connection ends. */
function refusal(code: string, message: string): Buffer {
  const fields = Buffer.from(`SFATAL\0VFATAL\0C${code}\0M${message}\0\0`)
  const head = Buffer.from([0x45, 0, 0, 0, 0])
  head.writeUInt32BE(fields.length + 4, 1)
  return Buffer.concat([head, fields])
}
