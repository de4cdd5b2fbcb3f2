import { setTimeout as sleep } from 'node:timers/promises'
import type { Bus } from '#core/bus'
import { followOutcomes, type Outcome } from '#core/journal'
import { type AgentRun, isTerminal } from '#core/kinds'
import { type Informer, keyOf, type ReconcileResult, type WorkQueue } from '#core/kube'
import type { Logger } from '#core/telemetry'
import { type Outbox, refOf } from './outbox.ts'
import { replyText, waitsSentence } from './sentences.ts'
import { turnOf } from './turn.ts'

export interface RepliesOptions {
  bus: Bus
  outbox: Outbox
  /** With the index `uid`. */
  runs: Informer<AgentRun>
  /** Keys of runs that may have to wait; whoever takes one calls `reconcile`. */
  queue: WorkQueue
  log: Logger
  signal: AbortSignal
  /** How long a run may wait before that is said, milliseconds. */
  patienceMs?: number | undefined
  now?: () => Date
}

const retryMs = 1_000
/** For as long after its end a run that is deleted may have an outcome that nobody has read. */
const unreadMs = 10 * 60_000

/** Everybody who asked for a run in a chat is told how it ended, and told if it does not begin at once. */
export class Replies {
  readonly #options: RepliesOptions
  readonly #now: () => Date

  constructor(options: RepliesOptions) {
    this.#options = options
    this.#now = options.now ?? (() => new Date())
  }

  /**
   * Hands on every outcome, until the signal aborts. A consumer of its own remembers which ones are done: it is told so
   * once the channel's outbox has the reply, whose id follows from the run.
   */
  async follow(): Promise<void> {
    const { bus, runs, signal, log } = this.#options
    while (!signal.aborted) {
      try {
        await followOutcomes(bus, { durable: 'channel-replies', signal, parallel: 64 }, async (address, outcome) => {
          const [run] = runs.byIndex('uid', address.uid)
          if (run) await this.#reply(run, outcome)
        })
      } catch (err) {
        if (signal.aborted) return
        log.warn({ err }, 'outcomes not followed for channels')
        await sleep(retryMs, undefined, { signal }).catch(() => {})
      }
    }
  }

  /** Call with every run that the cache sees for the first time. */
  seen(run: AgentRun): void {
    if (!turnOf(run) || !isPending(run)) return
    const { patienceMs = 5_000 } = this.#options
    const age = this.#now().getTime() - Date.parse(run.metadata.creationTimestamp ?? '')
    this.#options.queue.addAfter(keyOf(run), patienceMs - (Number.isNaN(age) ? 0 : Math.min(age, patienceMs)))
  }

  /** Call with every run that is deleted: its record goes with it, and with that an outcome that is not read yet. */
  gone(run: AgentRun): void {
    if (!turnOf(run)) return
    const { phase, completedAt, reason, result, error } = run.status ?? {}
    const over = isTerminal(phase)
    if (over && this.#now().getTime() - Date.parse(completedAt ?? '') > unreadMs) return
    const end = over ? { phase, reason, result, error } : { phase: 'Cancelled' as const }
    this.#reply(run, end as Partial<Outcome>).catch((err: unknown) => {
      this.#options.log.warn({ run: run.metadata.name, namespace: run.metadata.namespace, err }, 'end not told')
    })
  }

  /** Says that a run waits, if it does. */
  async reconcile(key: string): Promise<ReconcileResult> {
    const run = this.#options.runs.get(key)
    const turn = run && turnOf(run)
    if (!turn || !isPending(run)) return
    const text = waitsSentence(run.metadata.name, run.status?.reason)
    await this.#options.outbox.say(turn.place, { type: 'notice', id: `${run.metadata.uid}-waits`, text })
  }

  async #reply(run: AgentRun, outcome: Partial<Outcome>): Promise<void> {
    const turn = turnOf(run)
    if (!turn) return
    const { place, replyTo } = turn
    await this.#options.outbox.say(place, {
      type: 'reply',
      id: `${run.metadata.uid}-reply`,
      run: refOf(run),
      phase: outcome.phase ?? 'Failed',
      text: replyText(run.metadata.name, outcome),
      ...(outcome.files && outcome.files.length > 0 && { files: outcome.files }),
      ...(replyTo !== undefined && { replyTo }),
    })
  }
}

function isPending({ status }: AgentRun): boolean {
  return (status?.phase ?? 'Pending') === 'Pending'
}
