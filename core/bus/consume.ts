import { isClawError } from '#core/errors'
import { jsRequest } from './api.ts'
import type { Bus } from './bus.ts'
import { type BusMessage, toBusMessage } from './message.ts'
import { pause } from './pause.ts'
import { type ConsumerName, consumerState, pull } from './pull.ts'
import { type ConsumerConfig, ensureConsumer } from './streams.ts'

export type { BusMessage } from './message.ts'

const retryMs = 500

/**
 * The messages of a durable consumer, for as long as the signal lets. What is not acknowledged comes again. A consumer
 * that does not exist, or not yet, is waited for.
 */
export async function* consume(bus: Bus, name: ConsumerName, signal: AbortSignal): AsyncGenerator<BusMessage> {
  while (!signal.aborted && !bus.nats.isClosed()) {
    for await (const message of pull(bus, name, { signal, onLoss: 'repeat' })) yield toBusMessage(bus, message)
    if (!signal.aborted) await pause(retryMs, signal).catch(() => {})
  }
}

/**
 * What a durable consumer has delivered and nobody acknowledged: how many messages, and the sequence of the last one
 * that was ever delivered. Asked before the first pull, that is what an earlier reader left.
 */
export async function heldByOthers(
  bus: Bus,
  { stream, consumer }: ConsumerName,
): Promise<{ count: number; upTo: number }> {
  const asked = jsRequest<{ num_ack_pending: number; delivered: { stream_seq: number } }>
  const { num_ack_pending: count, delivered } = await asked(bus, `CONSUMER.INFO.${stream}.${consumer}`)
  return { count, upTo: delivered.stream_seq }
}

/** How long a server may take to look through what a consumer holds, once it was told to: it does so after 100 ms. */
const lookedThroughMs = 300

/**
 * Has what an earlier reader held delivered again at once, and not only when its time is over: for that reader is known
 * to be no more. While nobody pulls, a time that is over already moves everything that is held to what comes next.
 */
async function releaseHeld(bus: Bus, stream: string, config: ConsumerConfig & { durable_name: string }): Promise<void> {
  const { count } = await heldByOthers(bus, { stream, consumer: config.durable_name })
  if (count === 0) return
  await ensureConsumer(bus, stream, { ...config, ack_wait: 1_000_000 })
  await pause(lookedThroughMs, bus.signal)
  await ensureConsumer(bus, stream, config)
}

/**
 * The messages of a durable consumer of one's own, which is made when it is not there: at the start, once the bus and the
 * stream are there, and again where the bus came back without it. It has one reader at a time: who begins takes over
 * what an earlier one held.
 */
export async function* consumeOwn(
  bus: Bus,
  stream: string,
  config: ConsumerConfig & { durable_name: string },
  signal: AbortSignal,
): AsyncGenerator<BusMessage> {
  const name = { stream, consumer: config.durable_name }
  let begun = false
  while (!signal.aborted && !bus.nats.isClosed()) {
    try {
      await ensureConsumer(bus, stream, config)
      if (!begun) await releaseHeld(bus, stream, config)
      begun = true
      for await (const message of pull(bus, name, { signal, onLoss: 'repeat' })) yield toBusMessage(bus, message)
    } catch (error) {
      if (!isClawError(error, 'unavailable', 'not_found') || bus.signal.aborted) throw error
    }
    if (!signal.aborted) await pause(retryMs, signal).catch(() => {})
  }
}

/**
 * All that a durable consumer holds at this moment, in stream order, and gives it back unacknowledged, so that the
 * next reader finds the same and what came after. This needs no right to make or reset a consumer. A reader that dies
 * halfway delays the next one by the consumer's ack_wait.
 */
export async function readPending(bus: Bus, name: ConsumerName, signal: AbortSignal): Promise<BusMessage[]> {
  for (;;) {
    signal.throwIfAborted()
    try {
      return await readOnce(bus, name, signal)
    } catch (error) {
      if (!isClawError(error, 'unavailable', 'not_found') || signal.aborted) throw error
      await pause(retryMs, signal)
    }
  }
}

async function readOnce(bus: Bus, name: ConsumerName, signal: AbortSignal): Promise<BusMessage[]> {
  const held = new Map<number, BusMessage>()
  for (;;) {
    const counts = await consumerState(bus, name)
    const missing = counts.num_pending + counts.num_ack_pending - held.size
    if (missing <= 0) break
    for await (const raw of pull(bus, name, { signal, onLoss: 'repeat', count: missing })) {
      const message = toBusMessage(bus, raw)
      held.set(message.sequence, message)
    }
    signal.throwIfAborted()
  }
  for (const message of held.values()) message.retry()
  await bus.nats.flush()
  return [...held.values()].sort((a, b) => a.sequence - b.sequence)
}
