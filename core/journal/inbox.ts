import { type Bus, consume, consumerOfRun, publish } from '#core/bus'
import { isClawError } from '#core/errors'
import { type RunAddress, runSubjects } from '#core/identity'
import { type InMessage, inMessage } from './messages.ts'

export interface InboxMessage {
  message: InMessage
  /** Sequence in the stream, the order of what was sent. */
  sequence: number
  /** Call it when the effect is done; until then the message comes again, also to a bridge that was restarted. */
  ack(): void
}

/**
 * Sends a message into a run and returns once it is stored, with its sequence in the stream. Sending the same twice is
 * sending it once: a run has one task, which is the first message, one cancel, one message of each number, and one answer
 * to each call. Of a task that was sent long ago the sequence is not told.
 */
export async function sendIn(
  bus: Bus,
  run: RunAddress,
  message: InMessage,
  signal?: AbortSignal,
): Promise<number | undefined> {
  const options = { id: `${run.uid}/in/${whichOf(message)}`, ...(signal && { signal }) }
  const expected = message.type === 'task' ? { expectedLast: 0 } : {}
  try {
    return (await publish(bus, runSubjects(run).in, message, { ...options, ...expected })).sequence
  } catch (error) {
    // Somebody sent the task already; this may be a controller that was killed after it did.
    if (message.type !== 'task' || !isClawError(error, 'fenced')) throw error
    return undefined
  }
}

/** Tells a message from every other of its run. */
function whichOf(message: InMessage): string {
  if (message.type === 'answer') return `answer/${message.attempt ?? 0}/${message.callId}`
  return message.type === 'message' ? `message/${message.number}` : message.type
}

/**
 * What is sent into the run, in order, until the signal aborts. A message comes again until it is acknowledged, to the
 * same reader only after another had time; one that cannot be understood is dropped with a warning.
 */
export async function* receiveIn(bus: Bus, run: RunAddress, signal: AbortSignal): AsyncGenerator<InboxMessage> {
  const acked = new Set<number>()
  for await (const received of consume(bus, consumerOfRun(run.uid, 'in'), signal)) {
    const parsed = inMessage.safeParse(received.value())
    if (!parsed.success) {
      bus.log.warn({ run: run.uid, sequence: received.sequence, err: parsed.error }, 'inbox message not understood')
      received.ack()
    } else if (acked.has(received.sequence)) {
      received.ack()
    } else {
      const ack = () => {
        acked.add(received.sequence)
        received.ack()
      }
      yield { message: parsed.data, sequence: received.sequence, ack }
    }
  }
}
