import { createInbox, type Msg } from '@nats-io/transport-node'
import { isClawError } from '#core/errors'
import { runConsumerInfo, runConsumers } from '#core/identity'
import { apiRequest } from './api.ts'
import type { Bus } from './bus.ts'
import { pause } from './pause.ts'

export interface ConsumerName {
  stream: string
  consumer: string
  /** Where to ask for its state, for an identity that may not ask JetStream's API. */
  info?: string
}

/** A consumer of a run, as the run's own bridge reads it. */
export function consumerOfRun(uid: string, which: 'in' | 'journal'): ConsumerName {
  const consumer = runConsumers(uid)[which]
  return { stream: 'RUNS', consumer, info: runConsumerInfo(consumer) }
}

export interface ConsumerState {
  num_pending: number
  num_ack_pending: number
  /** The newest message that was delivered to anybody. */
  delivered: { stream_seq: number }
}

/** What the server counts for a consumer. Throws `not_found` where there is none. */
export function consumerState(bus: Bus, name: ConsumerName): Promise<ConsumerState> {
  return apiRequest(bus, name.info ?? `$JS.API.CONSUMER.INFO.${name.stream}.${name.consumer}`)
}

export interface PullOptions {
  signal: AbortSignal
  /**
   * What to do when messages may have been lost on their way: `repeat` the pull, where the consumer delivers again what
   * is not acknowledged, or `end`.
   */
  onLoss: 'repeat' | 'end'
  /** Messages that are asked for at once; 64 unless told. */
  batch?: number
  /**
   * Ends after this many messages, or once the server had no more for as long as it holds a pull, and leaves no pull
   * behind that could swallow more.
   */
  count?: number
}

const usualBatch = 64
/**
 * How long the server holds a pull that it cannot fill; that it says so at the end is its sign of life. Heartbeats in
 * between are not asked for: an empty message ends the way of the answers from one account of the bus to another.
 */
const expiresMs = 5_000
const retryMs = 250

/**
 * Pulls from a consumer that exists until the signal aborts; returns once the consumer does not exist any more.
 * At most one and a half batches wait here, so a slow reader slows only itself.
 */
export async function* pull(
  bus: Bus,
  name: ConsumerName,
  { signal, onLoss, batch = usualBatch, count = Number.POSITIVE_INFINITY }: PullOptions,
): AsyncGenerator<Msg> {
  const { stream, consumer } = name
  const inbox = createInbox(bus.inboxPrefix)
  const queue: Msg[] = []
  /** Messages that the server was asked for and has not delivered. */
  let wanted = 0
  let yielded = 0
  let problem: 'expired' | 'refused' | 'lost' | undefined
  let heard = Date.now()
  let wake = () => {}
  const notice = (next: typeof problem) => {
    problem = next
    wake()
  }
  const subscription = bus.nats.subscribe(inbox, {
    callback: (error, message) => {
      heard = Date.now()
      const status = error ? 503 : statusOf(message)
      if (status === undefined) {
        wanted--
        queue.push(message)
        wake()
      } else {
        // The server says how many it leaves undelivered of a pull that ends.
        wanted -= Number(message.headers?.get('Nats-Pending-Messages') || wanted)
        notice(status === 408 ? 'expired' : 'refused')
      }
    },
  })
  const forget = bus.onReconnect(() => notice('lost'))
  const watchdog = setInterval(() => {
    if (bus.connected && Date.now() - heard > 3 * expiresMs) notice('lost')
  }, expiresMs)
  watchdog.unref()
  const onAbort = () => wake()
  signal.addEventListener('abort', onAbort)
  const top = () => {
    const more = Math.min(batch, count - yielded - queue.length - wanted)
    if (more <= 0 || wanted > batch / 2 || queue.length > batch / 2) return
    wanted += more
    heard = Date.now()
    const request = { batch: more, expires: expiresMs * 1e6 }
    bus.nats.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, JSON.stringify(request), { reply: inbox })
  }
  try {
    top()
    while (!signal.aborted && !bus.nats.isClosed()) {
      const message = queue.shift()
      if (message) {
        yielded++
        top()
        yield message
        if (yielded >= count) return
      } else if (problem) {
        const what = problem
        problem = undefined
        if (what === 'lost' && onLoss === 'end') return
        if (what === 'expired' && Number.isFinite(count) && wanted <= 0) return
        if (what === 'lost') wanted = 0
        if (what !== 'expired') {
          await pause(retryMs, signal)
          // Nobody says to a run that its consumer is gone: its request is taken in by the other account.
          if (!(await exists(bus, name))) return
        }
        top()
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    }
  } finally {
    clearInterval(watchdog)
    signal.removeEventListener('abort', onAbort)
    forget()
    if (!bus.nats.isClosed()) subscription.unsubscribe()
  }
}

/** An empty message with a status in its header is the server's word about the pull. */
function statusOf(message: Msg): number | undefined {
  const code = message.headers?.code ?? 0
  return code > 0 && message.data.length === 0 ? code : undefined
}

async function exists(bus: Bus, name: ConsumerName): Promise<boolean> {
  try {
    await consumerState(bus, name)
    return true
  } catch (error) {
    if (isClawError(error, 'not_found')) return false
    if (isClawError(error, 'unavailable')) return true
    throw error
  }
}
