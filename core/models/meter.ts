import { ClawError } from '#core/errors'
import { readAnthropicBody, readAnthropicEvent } from './meter-anthropic.ts'
import { isUsageOnly, readEmbeddingsBody, readOpenaiBody, readOpenaiEvent } from './meter-openai.ts'
import { type SseEvent, SseReader } from './sse.ts'
import type { Reading, TokenUsage, WireFormat } from './wire.ts'

/** Longest reply that is read, in bytes, when it does not stream. */
export const maxReplyBytes = 32 * 1024 * 1024

/**
 * Most tokens of one request that a provider is believed, each way: far beyond any model, and few enough that the sums
 * of a run, and of a namespace over years, stay exact whatever a provider says.
 */
const maxTokensTold = 1_000_000_000

const bodyReaders = { openai: readOpenaiBody, anthropic: readAnthropicBody, embeddings: readEmbeddingsBody }

export interface MeterOptions {
  format: WireFormat | 'embeddings'
  /** Whether the reply is a stream of events, as its content type says; else it is one JSON document. */
  streaming: boolean
  /** Take out the closing chunk that holds nothing but usage, because the client did not ask for it. */
  withholdUsage?: boolean
}

/**
 * Reads a reply as it passes: what the model says, and what it costs. It never changes a byte, but for
 * `withholdUsage`, which drops whole events. What does not parse is passed on and not counted. A stream passes as it
 * comes; a document passes whole at its end, so that one that breaks off can still be answered as a failure.
 */
export class ReplyMeter {
  readonly #options: MeterOptions
  readonly #sse = new SseReader()
  #document: Uint8Array[] = []
  #documentBytes = 0
  #input: number | undefined
  #output: number | undefined

  constructor(options: MeterOptions) {
    this.#options = options
  }

  /** The text in these bytes, and the bytes that the client gets now. Throws ClawError `too_large` beyond the bounds. */
  push(chunk: Uint8Array): { text: string; pass: Uint8Array[] } {
    if (this.#options.streaming) {
      const events = this.#sse.push(chunk)
      return this.#options.withholdUsage
        ? this.#passEvents(events)
        : { text: this.#passEvents(events).text, pass: [chunk] }
    }
    this.#documentBytes += chunk.length
    if (this.#documentBytes > maxReplyBytes) throw new ClawError('too_large', 'the reply is larger than 32 MiB')
    this.#document.push(chunk)
    return { text: '', pass: [] }
  }

  /** What is left when the provider has ended. */
  end(): { text: string; pass: Uint8Array[] } {
    if (!this.#options.streaming) {
      const whole = Buffer.concat(this.#document)
      this.#document = []
      return {
        text: this.#count(bodyReaders[this.#options.format](whole.toString('utf8'))),
        pass: whole.length > 0 ? [whole] : [],
      }
    }
    const last = this.#sse.end()
    const left = this.#passEvents(last ? [last] : [])
    return this.#options.withholdUsage ? left : { text: left.text, pass: [] }
  }

  /** The tokens so far; undefined until the provider has told both. */
  get usage(): TokenUsage | undefined {
    if (this.#input === undefined || this.#output === undefined) return undefined
    return { input: this.#input, output: this.#output }
  }

  #passEvents(events: SseEvent[]): { text: string; pass: Uint8Array[] } {
    const { format, withholdUsage } = this.#options
    const read = format === 'anthropic' ? readAnthropicEvent : readOpenaiEvent
    let text = ''
    const pass: Uint8Array[] = []
    for (const event of events) {
      text += this.#count(read(event))
      if (!(withholdUsage && format === 'openai' && isUsageOnly(event))) pass.push(event.raw)
    }
    return { text, pass }
  }

  #count(reading: Reading): string {
    // Counts of a stream are cumulative and tokens are never given back, so the largest is the latest.
    if (reading.input !== undefined) this.#input = Math.max(this.#input ?? 0, told(reading.input))
    if (reading.output !== undefined) this.#output = Math.max(this.#output ?? 0, told(reading.output))
    return reading.text
  }
}

function told(tokens: number): number {
  return Math.min(tokens, maxTokensTold)
}
