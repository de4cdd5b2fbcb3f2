import { randomUUID } from 'node:crypto'
import { type Bus, consumeOwn, publish } from '#core/bus'
import { errorMessage } from '#core/errors'
import { type RunAddress, runSubjects } from '#core/identity'
import { type Outcome, outcome as outcomeSchema } from './messages.ts'

/**
 * Writes the one outcome of a run and returns once it is stored. Throws `fenced` when the run has an outcome already:
 * then that one counts, and this one is forgotten.
 */
export async function writeOutcome(bus: Bus, run: RunAddress, outcome: Outcome, signal?: AbortSignal): Promise<void> {
  await publish(bus, runSubjects(run).outcome, outcomeSchema.parse(outcome), {
    // An id of this write alone: with a shared one the loser of a race would be told that its outcome is stored.
    id: `${run.uid}/${outcome.attempt}/outcome/${randomUUID()}`,
    expectedLast: 0,
    headers: { 'K8sClaw-Entry': 'outcome' },
    ...(signal && { signal }),
  })
}

export interface FollowOutcomes {
  /** Name of the consumer that remembers which outcomes are done; the same name goes on where the last one stopped. */
  durable: string
  signal: AbortSignal
  /** How many outcomes are handled at once; 16 unless told. */
  parallel?: number
}

const ackWaitNs = 10_000_000_000
const retryMs = 1_000

/**
 * Hands every outcome of every run to `handle`, at least once, until the signal aborts: each is acknowledged when
 * `handle` returns and comes again when it throws, so `handle` must bear repetition.
 */
export async function followOutcomes(
  bus: Bus,
  { durable, signal, parallel = 16 }: FollowOutcomes,
  handle: (run: RunAddress, outcome: Outcome) => Promise<void>,
): Promise<void> {
  const own = {
    durable_name: durable,
    filter_subject: 'k8sclaw.*.*.run.*.outcome',
    ack_policy: 'explicit',
    deliver_policy: 'all',
    ack_wait: ackWaitNs,
    max_deliver: -1,
    max_ack_pending: 1_000,
  } as const
  const running = new Set<Promise<void>>()
  for await (const message of consumeOwn(bus, 'RUNS', own, signal)) {
    const run = addressOf(message.subject)
    const parsed = outcomeSchema.safeParse(message.value())
    if (!run || !parsed.success) {
      bus.log.error({ subject: message.subject, sequence: message.sequence }, 'outcome not understood')
      message.ack()
      continue
    }
    const work = handle(run, parsed.data).then(
      () => message.ack(),
      (error: unknown) => {
        bus.log.warn({ run: run.uid, namespace: run.namespace, error: errorMessage(error) }, 'outcome to be repeated')
        message.retry(retryMs)
      },
    )
    running.add(work)
    void work.finally(() => running.delete(work))
    if (running.size >= parallel) await Promise.race(running)
  }
  await Promise.all(running)
}

/** The run that a subject of the bus belongs to. */
function addressOf(subject: string): RunAddress | undefined {
  const [, namespace, instance, , uid] = subject.split('.')
  return namespace && instance && uid ? { namespace, instance, uid } : undefined
}
