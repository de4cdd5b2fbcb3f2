/**
 * Discord's Gateway as its documentation has it (https://docs.discord.com/developers/events/gateway): sessions that
 * deliver, are resumed and forgotten, and the close codes with which it ends what does not keep to its rules.
 */
import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { type RawData, type WebSocket, WebSocketServer } from 'ws'

interface Event {
  op: 0
  t: string
  s: number
  d: unknown
}

interface GatewaySession {
  id: string
  events: Event[]
  /** The last event of which the bot said that it was heard. */
  heard: number
  socket?: WebSocket | undefined
}

export interface GatewayRules {
  heartbeatMs: number
  /** Whether this is the bot's token now. */
  knows: (token: unknown) => boolean
  /** Of the privileged intents, those that are turned on. */
  privileged: () => number
  url: () => string
  /** What a new session is told first: the READY, and the servers. */
  welcome: () => { name: string; data: object }[]
}

const privilegedIntents = (1 << 1) | (1 << 8) | (1 << 15)
const allIntents = (1 << 22) - 1 + (1 << 24) + (1 << 25)
const maxSends = 120

export function startGateway({ heartbeatMs, knows, privileged, url, welcome }: GatewayRules) {
  const wss = new WebSocketServer({ noServer: true })
  const sessions = new Map<string, GatewaySession>()
  const counts = { identified: 0, resumed: 0, closed: [] as number[] }

  const send = (socket: WebSocket | undefined, payload: object) => {
    if (socket?.readyState === socket?.OPEN) socket?.send(JSON.stringify(payload))
  }
  const put = (session: GatewaySession, name: string, data: object) => {
    const event: Event = { op: 0, t: name, s: session.events.length + 1, d: structuredClone(data) }
    session.events.push(event)
    send(session.socket, event)
  }
  const open = () => [...sessions.values()]

  function serve(socket: WebSocket, request: IncomingMessage) {
    const query = new URL(request.url ?? '/', 'ws://gateway').searchParams
    const close = (code: number) => {
      counts.closed.push(code)
      socket.close(code)
    }
    if (query.get('v') !== '10' || query.get('encoding') !== 'json') return close(4012)
    let session: GatewaySession | undefined
    let sends = 0
    let silence = setTimeout(() => close(4009), heartbeatMs * 4)
    const minute = setInterval(() => {
      sends = 0
    }, 60_000)
    socket.on('close', () => {
      clearTimeout(silence)
      clearInterval(minute)
      if (session?.socket === socket) session.socket = undefined
    })
    socket.on('error', () => {})
    send(socket, { op: 10, s: null, t: null, d: { heartbeat_interval: heartbeatMs } })

    socket.on('message', (raw: RawData) => {
      if (++sends > maxSends) return close(4008)
      let payload: { op?: unknown; d?: unknown }
      try {
        payload = JSON.parse(String(raw)) as typeof payload
      } catch {
        return close(4002)
      }
      switch (payload.op) {
        case 1:
          clearTimeout(silence)
          silence = setTimeout(() => close(4009), heartbeatMs * 4)
          if (session && typeof payload.d === 'number') session.heard = Math.max(session.heard, payload.d)
          return send(socket, { op: 11 })
        case 2:
          return session ? close(4005) : identify(payload.d as Record<string, unknown>)
        case 6:
          return session ? close(4005) : resume(payload.d as Record<string, unknown>)
        default:
          return close(session ? 4001 : 4003)
      }
    })

    function identify({ token, intents, properties, shard }: Record<string, unknown>) {
      if (!knows(token)) return close(4004)
      if (typeof properties !== 'object' || properties === null) return close(4002)
      if (shard !== undefined && JSON.stringify(shard) !== '[0,1]') return close(4010)
      if (typeof intents !== 'number' || (intents & ~allIntents) !== 0) return close(4013)
      if ((intents & privilegedIntents & ~privileged()) !== 0) return close(4014)
      counts.identified++
      session = { id: randomBytes(16).toString('hex'), events: [], heard: 0, socket }
      sessions.set(session.id, session)
      for (const { name, data } of welcome())
        put(session, name, name === 'READY' ? { ...data, session_id: session.id, resume_gateway_url: url() } : data)
    }

    function resume({ token, session_id: id, seq }: Record<string, unknown>) {
      if (!knows(token)) return close(4004)
      const found = sessions.get(String(id))
      if (!found) return send(socket, { op: 9, d: false })
      if (typeof seq !== 'number' || seq > found.events.length) return close(4007)
      counts.resumed++
      session = found
      session.heard = Math.max(session.heard, seq)
      // One connection has a session.
      session.socket?.terminate()
      session.socket = socket
      for (const event of session.events.slice(seq)) send(socket, event)
      put(session, 'RESUMED', { _trace: [] })
    }
  }

  return {
    counts,
    upgrade(request: IncomingMessage, socket: Parameters<WebSocketServer['handleUpgrade']>[1], head: Buffer): void {
      wss.handleUpgrade(request, socket, head, (client) => serve(client, request))
    },
    /** Every session is told, also one that nobody is connected to now. */
    dispatch(name: string, data: object): void {
      for (const session of open()) put(session, name, data)
    },
    /** Any frame, as it stands. */
    raw(frame: string): void {
      for (const { socket } of open()) socket?.send(frame)
    },
    /** Whether the bot has said of everything that it was heard. */
    allHeard: () => open().every(({ socket, heard, events }) => !socket || heard >= events.length),
    /** Something is with the bot of which it has not said that it was heard. */
    delivered: () =>
      open().some(({ socket, heard, events }) => socket && socket.bufferedAmount === 0 && heard < events.length),
    /** Whether there is anything that the bot has not said of that it was heard, connected or not. */
    unheard: () => open().some(({ heard, events }) => heard < events.length),
    connected: () => open().filter(({ socket }) => socket).length,
    close(code: number): void {
      for (const { socket } of open()) socket?.close(code)
    },
    /** Connections break without a word. */
    drop(): void {
      for (const client of wss.clients) client.terminate()
    },
    askToReconnect(): void {
      for (const { socket } of open()) send(socket, { op: 7, d: null })
    },
    /** No session can be resumed any more. */
    forget: () => sessions.clear(),
  }
}
