import { type SessionInfo, WebSocketManager, WebSocketShardEvents } from '@discordjs/ws'
import { errorMessage } from '#core/errors'
import { ServiceError } from '../frame/index.ts'
import { toServiceError } from './refusals.ts'
import type { DiscordApi } from './rest.ts'
import type { Session } from './session.ts'

/** Servers, their messages, direct messages, and what these say (https://docs.discord.com/developers/events/gateway). */
const intents = (1 << 0) | (1 << 9) | (1 << 12) | (1 << 15)
const closeMs = 2_000

/** What the library does by itself: it leaves a connection to come back, or for a session that is no more. */
const ownCloses = new Set([1000, 4200])
/** After these there is nothing to resume. */
const endsSession = new Set([4003, 4005, 4007, 4009])

export interface Dispatch {
  name: string
  data: unknown
  sequence: number
  session: string | undefined
}

export interface GatewayOptions {
  api: DiscordApi
  token: string
  session: Session
  onDispatch: (event: Dispatch) => void
  /** Discord has answered a heartbeat. */
  onHeartbeat: () => void
  signal: AbortSignal
}

/** One connection to the Gateway, resumed where that can be, until the signal aborts. Throws why it ended before. */
export async function followGateway(options: GatewayOptions): Promise<void> {
  const { api, token, session, onDispatch, onHeartbeat, signal } = options
  const ended = Promise.withResolvers<void>()
  let over = false
  let greeted = false
  const end = (error?: unknown) => {
    over = true
    if (error === undefined) ended.resolve()
    else ended.reject(error)
  }
  const manager = new WebSocketManager({
    token,
    rest: api.rest,
    intents,
    shardCount: 1,
    // The library comes back for ever and at once; whoever waits here does not.
    retrieveSessionInfo: () => (over ? new Promise<SessionInfo | null>(() => {}) : session.info),
    updateSessionInfo: (_, info) => {
      if (!over) session.hear(info)
    },
  })
  manager.on(WebSocketShardEvents.Hello, () => {
    greeted = true
    if (over) void manager.destroy({ code: 4200 })
  })
  manager.on(WebSocketShardEvents.HeartbeatComplete, onHeartbeat)
  manager.on(WebSocketShardEvents.Dispatch, (payload) => {
    if (over) return
    const { t: name, d: data, s: sequence } = payload
    onDispatch({ name, data, sequence, session: session.id })
  })
  manager.on(WebSocketShardEvents.SocketError, () => {})
  manager.on(WebSocketShardEvents.Error, (error) => end(new Error(errorMessage(error))))
  manager.on(WebSocketShardEvents.Closed, (code) => {
    if (over || ownCloses.has(code)) return
    // The address of a session that Discord no longer greets at may be gone for good, while others are there.
    if (endsSession.has(code) || !greeted) session.hear(null)
    greeted = false
    end(closedBy(code))
  })
  const abort = () => end()
  signal.addEventListener('abort', abort)
  try {
    if (signal.aborted) return
    const { session_start_limit: starts } = await manager.fetchGatewayInformation().catch((error: unknown) => {
      throw toServiceError(error)
    })
    if (starts.remaining < 1)
      throw new ServiceError('later', 'SessionLimit', 'Discord lets this bot begin no more sessions today.', {
        afterMs: starts.reset_after,
      })
    manager.connect().catch((error: unknown) => end(toServiceError(error)))
    await ended.promise
  } finally {
    over = true
    signal.removeEventListener('abort', abort)
    // Not 1000, after which the session could not be resumed. Before the greeting there is nothing that could be closed.
    if (greeted) await Promise.race([manager.destroy({ code: 4200 }), pause(closeMs)])
  }
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms).unref())

/** https://docs.discord.com/developers/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes */
function closedBy(code: number): ServiceError {
  switch (code) {
    case 4004:
      return new ServiceError('token', 'WrongToken', 'Discord refuses the token of the bot.')
    case 4014:
      return new ServiceError(
        'token',
        'MissingIntent',
        'The bot lacks the Message Content Intent. Turn it on in the developer portal, under Bot, Privileged Gateway Intents.',
      )
    case 4011:
      return new ServiceError('token', 'ShardingRequired', 'The bot is in more servers than one connection may serve.')
    case 4010:
    case 4012:
    case 4013:
      return new ServiceError('token', 'ProtocolRefused', `Discord refuses how it is spoken to (${code}).`)
    case 4008:
      return new ServiceError('later', 'RateLimited', 'Discord closed the connection: too much was sent.')
    case 4009:
      return new ServiceError('later', 'SessionTimedOut', 'Discord closed the connection: the session timed out.')
    default:
      return new ServiceError('later', 'Outage', `The connection to Discord was lost (${code}).`)
  }
}
