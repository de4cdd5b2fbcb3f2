import { isClawError } from '#core/errors'
import { limits } from '#core/ipc'
import { ReplyMeter, type WireFormat } from '#core/models'

/** Collects what a model says while its reply passes, up to the length that an answer may have in the record. */
export class ReplyText {
  #meter: ReplyMeter | undefined
  #text = ''
  #bytes = 0
  #truncated = false

  constructor(format: WireFormat, contentType: string | undefined) {
    this.#meter = new ReplyMeter({ format, streaming: contentType?.startsWith('text/event-stream') ?? false })
  }

  push(chunk: Uint8Array): void {
    this.#read((meter) => meter.push(chunk).text)
  }

  /** The text of the whole reply; empty where the model said nothing or the reply could not be read. */
  end(): { text: string; truncated: boolean } {
    this.#read((meter) => meter.end().text)
    return { text: this.#text, truncated: this.#truncated }
  }

  #read(next: (meter: ReplyMeter) => string): void {
    if (!this.#meter) return
    try {
      this.#add(next(this.#meter))
    } catch (error) {
      if (!isClawError(error, 'too_large')) throw error
      // The agent gets its bytes whatever their number; only the record does without more of them.
      this.#truncated = true
      this.#meter = undefined
    }
  }

  #add(text: string): void {
    this.#bytes += Buffer.byteLength(text)
    if (this.#bytes <= limits.outputBytes) this.#text += text
    else this.#truncated = true
  }
}
