import { type Answer, type Call, type Entry, isToolOfAgent, type Verdict } from '#core/journal'

/**
 * What the journal says about the run so far, and nothing else: the calls by id, the steps and tokens used. It is
 * built from the entries, so that a bridge that was restarted knows exactly what the one before it had recorded.
 */
export class Ledger {
  readonly #attempt: number
  readonly #calls = new Map<string, Omit<Call, 'input'>>()
  /** Ordinal of the last model call. */
  step = 0
  /** Warnings recorded. */
  noted = 0
  /** What is recorded of inputs and answers, in characters of JSON. */
  recorded = 0
  readonly #usage = { inputTokens: 0, outputTokens: 0, modelCalls: 0, toolCalls: 0 }

  constructor(attempt: number, entries: Iterable<Entry>) {
    this.#attempt = attempt
    for (const entry of entries) this.#apply(entry)
  }

  /** A call of this attempt, known from before it is stored, so that a second one of its id finds it at once. */
  called(call: Call, verdict: Verdict): void {
    this.#calls.set(call.id, withoutInput(call))
    this.recorded += lengthOf(call.input)
    this.#count(call, verdict)
  }

  /** What a call was answered with. */
  answered(answer: Answer): void {
    this.recorded += lengthOf(answer)
  }

  /** What a call has cost, where that is known. */
  spent(tokens: { input: number; output: number } | undefined): void {
    this.#usage.inputTokens += tokens?.input ?? 0
    this.#usage.outputTokens += tokens?.output ?? 0
  }

  #apply(entry: Entry): void {
    if (entry.kind === 'noted') this.noted++
    else if (entry.kind === 'answered') {
      this.spent(entry.tokens)
      this.answered(entry.answer)
    }
    // Ids are scoped to the attempt; steps, usage and what is recorded are the run's.
    else if (entry.attempt === this.#attempt) this.called(entry.call, entry.verdict)
    else {
      this.recorded += lengthOf(entry.call.input)
      this.#count(entry.call, entry.verdict)
    }
  }

  #count({ step, tool }: Call, verdict: Verdict): void {
    this.step = Math.max(this.step, step ?? 0)
    if (!isToolOfAgent(tool)) return
    if (verdict.action === 'allow') this.#usage[step === undefined ? 'toolCalls' : 'modelCalls']++
  }

  known(id: string): Omit<Call, 'input'> | undefined {
    return this.#calls.get(id)
  }

  /** How many calls are recorded in this attempt. */
  get size(): number {
    return this.#calls.size
  }

  /** Totals of the run; calls are those that were allowed. */
  get usage() {
    return { ...this.#usage }
  }
}

function lengthOf(value: unknown): number {
  return JSON.stringify(value)?.length ?? 0
}

/** Inputs may be large and are in the journal; what is kept here for the whole run is small. */
function withoutInput({ input: _, ...call }: Call): Omit<Call, 'input'> {
  return call
}
