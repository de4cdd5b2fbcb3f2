import type { RunAddress } from '#core/identity'
import type { Outcome } from '#core/journal'
import { type AgentRun, isTerminal } from '#core/kinds'
import { type Informer, keyOf, type WorkQueue } from '#core/kube'

/**
 * Where outcomes from the bus wait until they stand in the status of their runs. An outcome counts as handled only
 * then, so that one that arrives just before this process dies comes again.
 */
export class OutcomeDesk {
  readonly #runs: Informer<AgentRun>
  readonly #queue: WorkQueue
  readonly #take: (uid: string, outcome: Outcome) => void
  readonly #waiting = new Map<string, PromiseWithResolvers<void>>()

  constructor(
    runs: Informer<AgentRun>,
    queue: WorkQueue,
    take: (uid: string, outcome: Outcome) => void,
    signal: AbortSignal,
  ) {
    this.#runs = runs
    this.#queue = queue
    this.#take = take
    runs.on({
      update: (run) => {
        if (isTerminal(run.status?.phase)) this.#done(run)
      },
      delete: (run) => this.#done(run),
    })
    const leave = () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the controller stops'))
      this.#waiting.clear()
    }
    signal.addEventListener('abort', leave, { once: true })
  }

  /** Resolves once the run's status has a terminal phase, or the run is gone. */
  async handle(address: RunAddress, outcome: Outcome): Promise<void> {
    const [run] = this.#runs.byIndex('uid', address.uid)
    if (!run || isTerminal(run.status?.phase)) return
    const waiting = this.#waiting.get(address.uid) ?? Promise.withResolvers<void>()
    this.#waiting.set(address.uid, waiting)
    this.#take(address.uid, outcome)
    this.#queue.add(keyOf(run))
    await waiting.promise
  }

  #done(run: AgentRun): void {
    const uid = run.metadata.uid ?? ''
    this.#waiting.get(uid)?.resolve()
    this.#waiting.delete(uid)
  }
}
