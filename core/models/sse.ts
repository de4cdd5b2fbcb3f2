import { ClawError } from '#core/errors'

/** One server-sent event, and the exact bytes it came in. */
export interface SseEvent {
  /** Value of the `event` field; `message` where there was none. */
  event: string
  /** The `data` lines joined by line feeds; empty where there were none. */
  data: string
  raw: Uint8Array
}

/** Longest event that is read, in bytes; a provider that sends a longer one is broken or hostile. */
export const maxEventBytes = 4 * 1024 * 1024

const lineFeed = 0x0a
const carriageReturn = 0x0d

/**
 * Splits a stream of bytes into server-sent events (WHATWG HTML, section 9.2), however the bytes are cut. It works on
 * bytes, because a cut may lie inside a character, and keeps them, because what is read here is passed on unchanged:
 * the `raw` of all events and of `end()` together are the bytes that were pushed.
 */
export class SseReader {
  #parts: Uint8Array[] = []
  #length = 0
  #lineIsEmpty = true
  #afterReturn = false
  #first = true

  /** The events that these bytes complete. Throws ClawError `too_large` for an event beyond `maxEventBytes`. */
  push(chunk: Uint8Array): SseEvent[] {
    const events: SseEvent[] = []
    let start = 0
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i]
      if (byte === lineFeed && this.#afterReturn) {
        this.#afterReturn = false
        continue
      }
      this.#afterReturn = byte === carriageReturn
      if (byte !== lineFeed && byte !== carriageReturn) {
        this.#lineIsEmpty = false
        continue
      }
      if (this.#lineIsEmpty) {
        this.#keep(chunk.subarray(start, i + 1))
        start = i + 1
        events.push(this.#take())
      }
      this.#lineIsEmpty = true
    }
    this.#keep(chunk.subarray(start))
    return events
  }

  /** What came after the last blank line: some providers forget the one at the end. */
  end(): SseEvent | undefined {
    this.#lineIsEmpty = true
    this.#afterReturn = false
    return this.#length > 0 ? this.#take() : undefined
  }

  #keep(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.#length += bytes.length
    if (this.#length > maxEventBytes) throw new ClawError('too_large', 'an event of the stream is larger than 4 MiB')
    // A copy: the caller's buffer may be one that is used again.
    this.#parts.push(bytes.slice())
  }

  #take(): SseEvent {
    const raw = Buffer.concat(this.#parts, this.#length)
    this.#parts = []
    this.#length = 0
    let text = raw.toString('utf8')
    if (this.#first && text.startsWith('\uFEFF')) text = text.slice(1)
    this.#first = false
    return { ...fields(text), raw }
  }
}

function fields(text: string): { event: string; data: string } {
  let event = ''
  const data: string[] = []
  for (const line of text.split(/\r\n|\r|\n/)) {
    const colon = line.indexOf(':')
    if (colon === 0) continue
    const name = colon < 0 ? line : line.slice(0, colon)
    const rest = colon < 0 ? '' : line.slice(colon + 1)
    const value = rest.startsWith(' ') ? rest.slice(1) : rest
    if (name === 'event') event = value
    if (name === 'data') data.push(value)
  }
  return { event: event || 'message', data: data.join('\n') }
}
