import { type Folder, firstIssue, takeFollowup, takeFollowupInput } from '#core/ipc'
import { type Call, type Entry, type FollowupMessage, followupsTaken, type InMessage } from '#core/journal'
import { type Crossing, notOk, type Performed } from './boundary.ts'

/**
 * What is said to the run while it goes on. Each message lies before the agent until it takes it, by a call that the
 * record holds with the message as its answer; so the record alone says which ones the run has, and what an agent does
 * not care for it does not have.
 */
export class Followups {
  readonly #input: Folder
  readonly #offered = new Map<number, FollowupMessage>()
  #taken: number

  /** `inbox` and `entries`: what an earlier bridge was sent and recorded. */
  constructor(input: Folder, { inbox, entries }: { inbox: readonly InMessage[]; entries: readonly Entry[] }) {
    this.#input = input
    this.#taken = followupsTaken(entries)
    for (const message of inbox) if (message.type === 'message') this.offer(message)
  }

  /** Lays a message where the agent finds it; the same one again changes nothing. */
  offer(message: FollowupMessage): void {
    const { number, type, text, from } = message
    if (this.#offered.has(number)) return
    this.#input.write(`followup-${number}.json`, JSON.stringify({ type, text, from }))
    this.#offered.set(number, message)
  }

  /** How a call that wants to take one crosses. It reaches nothing outside of the run, so no policy is asked. */
  crossing(call: Call): Crossing {
    const verdict = { action: 'allow', reason: 'what is said to a run is for it to take' } as const
    return { call, verdict, perform: async () => this.#take(call.input) }
  }

  #take(input: unknown): Performed {
    const wanted = takeFollowupInput.safeParse(input)
    if (!wanted.success) return { answer: notOk('invalid_input', firstIssue(wanted.error)) }
    const { number } = wanted.data
    const next = this.#taken + 1
    const message = this.#offered.get(number)
    if (number !== next || !message) {
      const why = this.#offered.has(next) ? `the next one to take is ${next}` : 'there is nothing to take'
      return { answer: notOk('invalid_input', `number: ${why}`) }
    }
    this.#taken = number
    const { text, from, type } = message
    return { answer: { ok: true, output: { number, type, text, from } } }
  }
}

/** Whether a call is of this kind. */
export function takesFollowup({ tool }: Call): boolean {
  return tool === takeFollowup
}
