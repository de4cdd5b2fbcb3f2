import type { InMessage } from '#core/journal'
import { notOk } from './boundary.ts'

/** Longer than a replica of the API server needs to take over from one that was killed. */
const defaultPatienceMs = 30_000

type AnswerMessage = Extract<InMessage, { type: 'answer' }>
/** What came of a call, and what its performer wants from this bridge in turn. */
type Told = Pick<AnswerMessage, 'answer' | 'unembedded'>

/**
 * The calls that the bridge does not perform: their record is the request, and the answer comes by the inbox, where one
 * that an earlier bridge was sent still stands. A call that nobody answers in time is told so; the record says the rest.
 */
export class Elsewhere {
  readonly #attempt: number
  readonly #patienceMs: number
  readonly #come = new Map<string, Told>()
  readonly #awaited = new Map<string, (told: Told) => void>()

  constructor(inbox: readonly InMessage[], attempt: number, patienceMs = defaultPatienceMs) {
    this.#attempt = attempt
    this.#patienceMs = patienceMs
    for (const message of inbox) if (message.type === 'answer') this.answered(message)
  }

  /** Takes what came by the inbox; an answer to a call of another attempt, or that nobody waits for, changes nothing. */
  answered({ attempt, callId, answer, unembedded }: AnswerMessage): void {
    if (attempt !== this.#attempt) return
    const take = this.#awaited.get(callId)
    const told = { answer, unembedded }
    if (take) take(told)
    else this.#come.set(callId, told)
  }

  /** Waits for the answer to a call that is recorded. */
  async perform(callId: string, signal: AbortSignal): Promise<Told> {
    const come = this.#come.get(callId)
    if (come) {
      this.#come.delete(callId)
      return come
    }
    const { promise, resolve } = Promise.withResolvers<Told>()
    const give = (message: string) => () => resolve({ answer: notOk('timeout', message) })
    const impatience = setTimeout(give('nobody answered; there may be no database'), this.#patienceMs)
    const over = give('the run ended before there was an answer')
    if (signal.aborted) over()
    signal.addEventListener('abort', over, { once: true })
    this.#awaited.set(callId, resolve)
    try {
      return await promise
    } finally {
      clearTimeout(impatience)
      signal.removeEventListener('abort', over)
      this.#awaited.delete(callId)
    }
  }
}
