import { type Cursor, formatCursor } from './cursor.ts'
import type { LiveMessage } from './live-message.ts'
import type { AnsweredEntry, CalledEntry, Entry, Outcome } from './messages.ts'

/** An event of a run as the API sends it; `id` is the cursor that resumes behind it. */
export type RunEvent = { id: string } & (
  | { type: 'called'; data: CalledEntry }
  | { type: 'answered'; data: AnsweredEntry }
  | { type: 'text'; data: TextPiece }
  | { type: 'status'; data: StatusPiece }
  | { type: 'outcome'; data: Outcome }
)

/** A piece of text. The model's pieces of a step, put together, are its text without gaps or repetition. */
export interface TextPiece {
  step: number
  source: LiveMessage['source']
  /** UTF-16 code units of this step and source before this piece. */
  offset: number
  text: string
}

/** What the agent says of itself, or what the bridge noted that no call answers for; only the latter has a code. */
export interface StatusPiece {
  step: number
  source: LiveMessage['source'] | 'bridge'
  text: string
  code?: string
}

/**
 * Turns the record and the previews of one run into the events of one reader. Text of a step waits for the entry that
 * called the model; a piece whose predecessors are missing waits for the recorded answer, which brings what is missing.
 * Where model calls overlap, the cursor follows the newest: who resumes gets the rest of an older one in its answer only.
 */
export class Projection {
  #cursor: Cursor
  /** The last step that may speak: its call has been reported. */
  #reached: number
  /** How much text of each step this reader has been given. A step that is absent began before the reader did. */
  readonly #given = new Map<number, number>()
  readonly #agentGiven = new Map<number, number>()
  readonly #held = new Map<number, LiveMessage[]>()

  constructor(from: Cursor) {
    this.#cursor = { ...from }
    this.#reached = from.step
    this.#given.set(from.step, from.offset)
    this.#agentGiven.set(from.step, from.agentOffset)
  }

  /** A piece of text as it streams. */
  live(piece: LiveMessage): RunEvent[] {
    if (piece.step > this.#reached) return this.#hold(piece)
    if (piece.source === 'agent') return this.#agentPiece(piece)
    const given = this.#given.get(piece.step)
    if (given === undefined) return []
    if (piece.offset > given) return this.#hold(piece)
    const fresh = piece.text.slice(given - piece.offset)
    return fresh === '' ? [] : [this.#text(piece.step, fresh, piece.kind), ...this.#release(piece.step)]
  }

  /** An entry of the journal with its stream sequence. */
  recorded(sequence: number, entry: Entry): RunEvent[] {
    if (entry.kind === 'called') return this.#called(sequence, entry)
    if (entry.kind === 'answered') {
      const rest = this.#restOf(entry)
      this.#cursor.sequence = sequence
      return [...rest, { id: this.#id(), type: 'answered', data: entry }]
    }
    this.#cursor.sequence = sequence
    const data = { step: this.#cursor.step, source: 'bridge' as const, text: entry.message, code: entry.code }
    return [{ id: this.#id(), type: 'status', data }]
  }

  /** The outcome. What still waited for something is given first, because nothing comes any more. */
  ended(sequence: number, outcome: Outcome): RunEvent[] {
    const rest = [...this.#held.keys()].sort((a, b) => a - b).flatMap((step) => this.#flush(step))
    this.#cursor.sequence = sequence
    return [...rest, { id: this.#id(), type: 'outcome', data: outcome }]
  }

  #called(sequence: number, entry: CalledEntry): RunEvent[] {
    this.#cursor.sequence = sequence
    const { step } = entry.call
    if (step !== undefined && step > this.#reached) {
      this.#reached = step
      this.#given.set(step, 0)
      this.#agentGiven.set(step, 0)
      this.#cursor = { ...this.#cursor, step, offset: 0, agentOffset: 0 }
    }
    const event: RunEvent = { id: this.#id(), type: 'called', data: entry }
    return step === undefined ? [event] : [event, ...this.#release(step)]
  }

  /** What of a recorded answer of the model has not been given as text yet. */
  #restOf(entry: AnsweredEntry): RunEvent[] {
    const step = entry.tool === 'model' ? Number(/^model-(\d+)$/.exec(entry.callId)?.[1] ?? Number.NaN) : Number.NaN
    const given = this.#given.get(step)
    if (given === undefined) return []
    const text = textOf(entry)
    if (text === undefined) return this.#flush(step)
    const agentPieces = (this.#held.get(step) ?? []).filter((piece) => piece.source === 'agent')
    this.#held.delete(step)
    const events = text.length > given ? [this.#text(step, text.slice(given), 'text')] : []
    return [...events, ...agentPieces.flatMap((piece) => this.#agentPiece(piece))]
  }

  #hold(piece: LiveMessage): RunEvent[] {
    const held = this.#held.get(piece.step)
    if (held) held.push(piece)
    else this.#held.set(piece.step, [piece])
    return []
  }

  /** Tries what was held for a step again; what still cannot be given is held again. */
  #release(step: number): RunEvent[] {
    const pieces = this.#held.get(step) ?? []
    this.#held.delete(step)
    return pieces.flatMap((piece) => this.live(piece))
  }

  /** Gives what was held for a step although pieces before it are missing. */
  #flush(step: number): RunEvent[] {
    this.#reached = Math.max(this.#reached, step)
    const pieces = this.#held.get(step) ?? []
    this.#held.delete(step)
    return pieces.flatMap((piece) => {
      if (piece.source === 'model') this.#given.set(step, Math.max(this.#given.get(step) ?? 0, piece.offset))
      return this.live(piece)
    })
  }

  #agentPiece(piece: LiveMessage): RunEvent[] {
    const given = this.#agentGiven.get(piece.step)
    if (given === undefined) return []
    const end = piece.offset + piece.text.length
    if (end <= given) return []
    this.#agentGiven.set(piece.step, end)
    if (piece.step === this.#cursor.step) this.#cursor.agentOffset = end
    const { step, source } = piece
    if (piece.kind === 'status') return [{ id: this.#id(), type: 'status', data: { step, source, text: piece.text } }]
    const offset = Math.max(piece.offset, given)
    const text = piece.text.slice(offset - piece.offset)
    return [{ id: this.#id(), type: 'text', data: { step, source, offset, text } }]
  }

  #text(step: number, text: string, kind: LiveMessage['kind']): RunEvent {
    const offset = this.#given.get(step) ?? 0
    this.#given.set(step, offset + text.length)
    if (step === this.#cursor.step) this.#cursor.offset = offset + text.length
    return kind === 'status'
      ? { id: this.#id(), type: 'status', data: { step, source: 'model', text } }
      : { id: this.#id(), type: 'text', data: { step, source: 'model', offset, text } }
  }

  #id(): string {
    return formatCursor(this.#cursor)
  }
}

/** The text of a recorded model answer, where the bridge knew it. */
function textOf({ answer }: AnsweredEntry): string | undefined {
  if (!answer.ok || typeof answer.output !== 'object' || answer.output === null) return undefined
  const { text } = answer.output as { text?: unknown }
  return typeof text === 'string' ? text : undefined
}
