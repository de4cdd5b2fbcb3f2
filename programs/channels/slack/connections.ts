import { setTimeout as sleep } from 'node:timers/promises'
import { ServiceError } from '../frame/index.ts'
import { callUntil } from './call.ts'
import { isFinal } from './refusals.ts'
import { Socket, type SocketOptions } from './socket.ts'

const maxPauseMs = 60_000
/** A connection that held this long was a good one. */
const goodMs = 60_000

export interface ConnectionsOptions extends SocketOptions {
  onOpen: () => void
  /** There is none left: what is said from here on nobody hears. */
  onNone: () => void
}

/** The connections of Socket Mode, each of which is opened again where it ends, as long as there is another. */
export class Connections {
  readonly #options: ConnectionsOptions
  #open = 0
  /** Open, or about to be. Slack lets an app open few a minute, so one of them may have to wait. */
  #alive = 0

  constructor(options: ConnectionsOptions) {
    this.#options = options
  }

  get open(): number {
    return this.#open
  }

  /** Holds one connection, and opens another where it ends. Throws when there is none left and none to be had. */
  async stayOpen(signal: AbortSignal): Promise<void> {
    for (let tries = 0; !signal.aborted; ) {
      const socket = new Socket({ ...this.#options, clientOptions: { ...this.#options.clientOptions } })
      const close = () => socket.close()
      signal.addEventListener('abort', close)
      const began = performance.now()
      let afterMs = 0
      try {
        this.#alive++
        await this.#use(socket, signal).finally(() => this.#alive--)
        if (performance.now() - began > goodMs) tries = 0
      } catch (error) {
        if (signal.aborted) return
        if (this.#alive === 0 || isFinal(error)) throw error
        afterMs = error instanceof ServiceError ? (error.afterMs ?? 0) : 0
      } finally {
        signal.removeEventListener('abort', close)
        if (signal.aborted) socket.close()
      }
      const backOff = tries > 0 ? Math.min(500 * 2 ** tries, maxPauseMs) : 0
      await sleep(Math.max(backOff, afterMs), undefined, { signal }).catch(() => {})
      tries++
    }
  }

  /** Opens a connection and waits until it is of no use any more. */
  async #use(socket: Socket, signal: AbortSignal): Promise<void> {
    await callUntil(signal)(() => socket.open())
    this.#open++
    this.#options.onOpen()
    const why = await socket.ended
    if (--this.#open === 0) this.#options.onNone()
    refuse(why)
  }
}

/** What the end of a connection means where another would end the same. */
function refuse(why: string): void {
  if (why === 'link_disabled') {
    throw new ServiceError('token', 'SocketModeOff', 'Socket Mode is switched off for this app.')
  }
  if (why === 'too_many_websockets') {
    const message = 'Too many programs have a connection for this app.'
    throw new ServiceError('later', 'TooManyConnections', message, { afterMs: maxPauseMs })
  }
}
