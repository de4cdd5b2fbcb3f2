import { ClawError, errorMessage, isClawError } from '#core/errors'
import type { Answer, Call, EntryParts, Journal, Meaning, Verdict } from '#core/journal'
import type { Logger } from '#core/telemetry'
import { Ledger } from './ledger.ts'

/** What performing a call came to. */
export interface Performed {
  answer: Answer
  /** Model calls only: what the gateway read off the wire. */
  tokens?: { input: number; output: number } | undefined
}

export interface Crossing {
  call: Call
  verdict: Verdict
  /** What is recorded with a call that is allowed, made before it is; `undefined` where that cannot be had. */
  meaning?: (() => Promise<Meaning | undefined>) | undefined
  /** Asked only for a call that is allowed and recorded; `signal` aborts when the boundary closes. */
  perform: (signal: AbortSignal) => Promise<Performed>
  /** Why a call is refused beyond the verdict, in the words of /ipc. */
  refusal?: Answer
  /** Called once the call is recorded. */
  onRecorded?: () => void
}

/** Calls one attempt may record: far beyond any real run, and a bound for the record of one that floods. */
const maxCalls = 10_000
/**
 * What one run may record of inputs and answers, in characters. Whoever reads a record holds it in memory, the bridge
 * for as long as the run lasts and the controller at its end: one tenant must not be able to make it what these cannot.
 */
const maxRecorded = 64 * 1024 * 1024
/** Warnings one run may record. */
const maxNoted = 100

/**
 * The boundary of one run. Nothing is performed that is not recorded first, and no answer is given that is not recorded
 * before it; once it is closed, everything is answered `run_ended` and nothing is performed any more.
 */
export class Boundary {
  readonly ledger: Ledger
  readonly #journal: Journal
  readonly #log: Logger
  readonly #closing = new AbortController()
  #noting = 0

  constructor(journal: Journal, attempt: number, log: Logger) {
    this.#journal = journal
    this.#log = log
    this.ledger = new Ledger(attempt, journal.entries)
    this.#noting = this.ledger.noted
    if (journal.outcome) this.close()
  }

  /** Aborts when the boundary closes: at the outcome, or when another writer has taken the journal over. */
  get closed(): AbortSignal {
    return this.#closing.signal
  }

  close(): void {
    this.#closing.abort()
  }

  /** Takes one call across: judged by now, it is recorded, performed, recorded; the answer is for the agent. */
  async cross(crossing: Crossing): Promise<Answer> {
    const { call, verdict, onRecorded, meaning: made } = crossing
    if (this.closed.aborted) return runEnded
    if (this.ledger.size >= maxCalls) return notOk('too_many', `a run may make ${maxCalls} calls`)
    if (this.ledger.recorded >= maxRecorded) return notOk('too_many', 'a run may record 64 MiB of calls and answers')
    this.ledger.called(call, verdict)
    return await this.#unlessEnded(async () => {
      const meaning = verdict.action === 'allow' ? await made?.() : undefined
      await this.#record({ kind: 'called', call, verdict, ...(meaning && { meaning }) })
      onRecorded?.()
      return await this.#performAndRecord(crossing)
    })
  }

  /**
   * Answers a call that an earlier bridge recorded and that has no answer: only one that is repeatable may be performed
   * again, of every other it is not known whether it was.
   */
  async resume(crossing: Crossing, repeatable: boolean): Promise<Answer> {
    const lost = async () => ({ answer: notOk('in_doubt', 'the bridge was restarted while the call was performed') })
    return await this.#unlessEnded(() => this.#performAndRecord(repeatable ? crossing : { ...crossing, perform: lost }))
  }

  async #performAndRecord({ call, verdict, perform, refusal }: Crossing): Promise<Answer> {
    const started = performance.now()
    const { answer, tokens } =
      verdict.action === 'deny'
        ? { answer: refusal ?? notOk('denied', verdict.reason), tokens: undefined }
        : await perform(this.closed).catch(failure)
    const { id: callId, tool } = call
    this.ledger.spent(tokens)
    this.ledger.answered(answer)
    const durationMs = performance.now() - started
    await this.#record({ kind: 'answered', callId, tool, answer, durationMs, ...(tokens ? { tokens } : {}) })
    return answer
  }

  async #unlessEnded(work: () => Promise<Answer>): Promise<Answer> {
    if (this.closed.aborted) return runEnded
    try {
      return await work()
    } catch (thrown) {
      if (isClawError(thrown, 'run_ended', 'fenced')) return runEnded
      throw thrown
    }
  }

  /** Records a warning, up to a bound; it neither waits nor fails. */
  note(code: string, message: string): void {
    if (this.closed.aborted || this.#noting >= maxNoted) return
    const last = ++this.#noting === maxNoted
    const text = last ? `${message} (further warnings are left out)` : message
    this.#record({ kind: 'noted', code, message: text.slice(0, 4096) }).catch((thrown: unknown) => {
      if (!this.closed.aborted) this.#log.warn({ code, error: errorMessage(thrown) }, 'warning not recorded')
    })
  }

  async #record(parts: EntryParts): Promise<void> {
    if (this.closed.aborted) throw ended()
    try {
      await this.#journal.append(parts)
    } catch (thrown) {
      if (isClawError(thrown, 'fenced')) {
        this.#log.error('another bridge writes the record of this run; nothing more is performed here')
        this.close()
      }
      throw thrown
    }
    if (this.closed.aborted) throw ended()
  }
}

function ended(): ClawError {
  return new ClawError('run_ended', 'the run has ended')
}

export const runEnded: Answer = notOk('run_ended', 'the run has ended')

export function notOk(code: Extract<Answer, { ok: false }>['error']['code'], message: string): Answer {
  return { ok: false, error: { code, message: message.slice(0, 16_384) } }
}

function failure(thrown: unknown): Performed {
  return { answer: notOk('failed', errorMessage(thrown)) }
}
