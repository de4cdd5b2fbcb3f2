import type { Change } from './entry.ts'

/** How much of the past a watch can resume from. */
export interface HistoryLimits {
  changes: number
  bytes: number
}

/**
 * The newest changes, in order and without gaps, so that a watch resumes by arithmetic. What falls out at the old end
 * is returned: its rows are no longer needed.
 */
export class History {
  #changes: Change[] = []
  #start = 0
  #bytes = 0
  /** The revision before the oldest change that is kept. */
  #horizon: number
  readonly #limits: HistoryLimits

  constructor(limits: HistoryLimits, horizon: number) {
    this.#limits = limits
    this.#horizon = horizon
  }

  get horizon(): number {
    return this.#horizon
  }

  push(change: Change): Change[] {
    this.#changes.push(change)
    this.#bytes += change.entry.json.length
    const dropped: Change[] = []
    while (this.#size() > this.#limits.changes || (this.#bytes > this.#limits.bytes && this.#size() > 1)) {
      const oldest = this.#changes[this.#start]
      if (!oldest) break
      this.#start++
      this.#bytes -= oldest.entry.json.length
      this.#horizon = oldest.entry.revision
      dropped.push(oldest)
    }
    if (this.#start > 1024 && this.#start > this.#changes.length / 2) {
      this.#changes = this.#changes.slice(this.#start)
      this.#start = 0
    }
    return dropped
  }

  /** Changes after `revision`; undefined when some of them are no longer known. */
  since(revision: number): Change[] | undefined {
    if (revision < this.#horizon) return undefined
    return this.#changes.slice(this.#start + (revision - this.#horizon))
  }

  #size(): number {
    return this.#changes.length - this.#start
  }
}
