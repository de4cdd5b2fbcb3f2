import type { BusMessage } from '#core/bus'
import { type Entry, entry } from '#core/journal'
import type { RecordEntry } from '#core/store'
import {
  firstModelCallSeconds,
  projectedEntries,
  projectionLag,
  projectionLagSeconds,
  recordedCallSeconds,
  recordedCalls,
  setAsideEntries,
  toolLabel,
} from '../metrics.ts'

/** Runs whose first model call is waited for at once; of more than that the oldest are not measured. */
const mostRuns = 10_000

/** How far one stream is carried over, and what its entries tell of runs, as metrics. */
export class Progress {
  readonly #stream: string
  /** When the oldest entry in hand was stored. */
  #oldest: Date | undefined
  #behind = 0
  readonly #tasks = new Map<string, Date>()
  readonly #unwatch: (() => void)[]

  constructor(stream: string) {
    this.#stream = stream
    this.#unwatch = [
      projectionLag.watch({ stream }, () => this.#behind),
      projectionLagSeconds.watch({ stream }, () =>
        this.#oldest ? Math.max(0, (Date.now() - this.#oldest.getTime()) / 1000) : 0,
      ),
    ]
  }

  /** These were read, and are not in the database yet. */
  read(messages: readonly [BusMessage, ...BusMessage[]]): void {
    this.#oldest = messages[0].at
    this.#behind = messages.length + (messages.at(-1)?.pending ?? 0)
  }

  /** What was read is in the database, but for so many that were set aside. */
  kept(entries: readonly RecordEntry[], setAside: number): void {
    const stream = this.#stream
    this.#oldest = undefined
    // What the bus says is still to come is believed until it does not come: the next ones read say anew.
    this.#behind = 0
    projectedEntries.add({ stream }, entries.length)
    if (setAside > 0) setAsideEntries.add({ stream }, setAside)
    for (const one of entries) this.#hear(one)
  }

  close(): void {
    for (const stop of this.#unwatch) stop()
  }

  #hear({ kind, run, at, body }: RecordEntry): void {
    if (kind === 'in' && (body as { type?: unknown }).type === 'task') this.#began(run, at)
    else if (kind === 'outcome') this.#tasks.delete(run)
    else if (kind === 'journal' || kind === 'summary' || kind === 'followup') {
      const read = entry.safeParse(body)
      if (read.success) this.#called(run, at, read.data)
    }
  }

  #began(run: string, at: Date): void {
    // A Map keeps the order in which keys came.
    if (this.#tasks.size >= mostRuns) this.#tasks.delete(this.#tasks.keys().next().value ?? '')
    this.#tasks.set(run, at)
  }

  #called(run: string, at: Date, said: Entry): void {
    if (said.kind === 'called') {
      recordedCalls.add({ tool: toolLabel(said.call.tool), action: said.verdict.action })
      const began = said.call.tool === 'model' ? this.#tasks.get(run) : undefined
      if (!began) return
      this.#tasks.delete(run)
      firstModelCallSeconds.observe({}, (at.getTime() - began.getTime()) / 1000)
    } else if (said.kind === 'answered') {
      const result = said.answer.ok ? 'ok' : said.answer.error.code
      recordedCallSeconds.observe({ tool: toolLabel(said.tool), result }, said.durationMs / 1000)
    }
  }
}
