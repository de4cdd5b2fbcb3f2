/**
 * The router of the chat channels: takes what people write, makes runs of it, and tells them how those ended. It
 * promises that each message of each conversation is taken once and in order, also when it is killed at any line, and
 * that nobody who asked is left without an answer; it refuses to act for who is not let in, and to know any service.
 */
import type { Bus } from '#core/bus'
import { type AgentRun, isTerminal } from '#core/kinds'
import { type Kube, runController, WorkQueue } from '#core/kube'
import type { Logger } from '#core/telemetry'
import type { Caches } from '../caches.ts'
import { Conversations } from './conversations.ts'
import type { FileRoom } from './file-room.ts'
import { Inbox } from './inbox.ts'
import { Outbox } from './outbox.ts'
import { Replies } from './replies.ts'
import { Router } from './router.ts'
import { sentences } from './sentences.ts'
import { Strangers } from './strangers.ts'
import { placeKey, turnOf } from './turn.ts'

export interface ChannelRouterOptions {
  kube: Kube
  bus: Bus
  caches: Pick<Caches, 'runs' | 'instances'>
  room: FileRoom
  log: Logger
  signal: AbortSignal
  /** How long a person must have been silent before the run begins, milliseconds. */
  quietMs?: number | undefined
  /** How long a run may wait before that is said, milliseconds. */
  patienceMs?: number | undefined
}

/** Routes until the signal aborts. One process at a time. */
export async function routeChannels(options: ChannelRouterOptions): Promise<void> {
  const { kube, bus, caches, room, log, signal, quietMs, patienceMs } = options
  const { runs, instances } = caches
  const queues = { conversations: new WorkQueue({ maxMs: 5_000 }), replies: new WorkQueue() }
  const outbox = new Outbox({ bus, instances, room, signal })
  const strangers = new Strangers(bus)
  const replies = new Replies({ bus, outbox, runs, queue: queues.replies, log, signal, patienceMs })
  const conversations = new Conversations({ kube, bus, outbox, runs, queue: queues.conversations, log, quietMs })
  const router = new Router({ conversations, strangers, outbox, runs })

  const wake = (run: AgentRun) => {
    const turn = turnOf(run)
    if (turn) queues.conversations.add(placeKey(turn.place))
  }
  runs.on({
    add: (run) => replies.seen(run),
    update: (run) => {
      const { phase } = run.status ?? {}
      if (isTerminal(phase) || phase === 'Running') wake(run)
    },
    delete: (run) => {
      wake(run)
      replies.gone(run)
    },
  })
  instances.on({
    update: (instance) => {
      for (const place of strangers.letIn(instance)) {
        const id = `let-in-${instance.metadata.uid}-${instance.metadata.generation}-${place.chat}`.slice(0, 128)
        outbox.say(place, { type: 'notice', id, text: sentences.letIn }).catch((err: unknown) => {
          log.warn({ err }, 'not told that they are let in')
        })
      }
    },
  })
  const control = (name: string, queue: WorkQueue, workers: number, reconcile: Conversations['reconcile']) =>
    runController({ name, queue, reconcile, workers, signal, log })
  await Promise.all([
    control('conversations', queues.conversations, 32, (key) => conversations.reconcile(key)),
    control('channel-replies', queues.replies, 4, (key) => replies.reconcile(key)),
    strangers.recall(signal).then(() => new Inbox(bus, signal).run((taken) => router.take(taken))),
    replies.follow(),
  ])
}
