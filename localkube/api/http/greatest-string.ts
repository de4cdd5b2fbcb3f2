/** kubectl repeats a whole object there when it applies it; what is too large is so in its own place. */
const repeated = 'kubectl.kubernetes.io/last-applied-configuration'
/** Deeper values, and names of more bytes, are in no object of any kind. */
const maxDepth = 64
const maxNameBytes = 256

const character = Object.fromEntries([...'"\\{}[],'].map((one) => [one, one.charCodeAt(0)]))

/**
 * Finds the longest string of a JSON text that is read by and by and need not be kept, for whoever must be told what is
 * too large in it. In a text that is no JSON, or nests deeper than an object does, it finds any or
 * none.
 */
export class GreatestString {
  /** Where it is, such as `spec.task`; undefined as long as there is none. */
  field: string | undefined
  /** Its length as it was written. */
  bytes = 0
  /** The member of each open object, the index of each open array. */
  readonly #place: (string | number)[] = []
  #isNameNext = false
  #isInString = false
  #isEscaped = false
  #length = 0
  #name: number[] = []

  /** Takes the next part of the text. */
  read(part: Uint8Array): void {
    for (const byte of part) {
      if (this.#isInString) this.#within(byte)
      else this.#between(byte)
    }
  }

  #within(byte: number): void {
    if (byte === character['"'] && !this.#isEscaped) {
      this.#endString()
      return
    }
    this.#isEscaped = byte === character['\\'] && !this.#isEscaped
    this.#length += 1
    if (this.#isNameNext && this.#length <= maxNameBytes) this.#name.push(byte)
  }

  #endString(): void {
    this.#isInString = false
    if (this.#isNameNext) {
      this.#isNameNext = false
      this.#place[this.#place.length - 1] = Buffer.from(this.#name).toString()
    } else if (this.#length > this.bytes && !this.#place.includes(repeated)) {
      this.bytes = this.#length
      this.field = this.#place.reduce<string>(
        (path, part) => (typeof part === 'number' ? `${path}[${part}]` : path === '' ? part : `${path}.${part}`),
        '',
      )
    }
  }

  #between(byte: number): void {
    const place = this.#place
    const last = place.at(-1)
    if (byte === character['"']) {
      this.#isInString = true
      this.#length = 0
      this.#name = []
    } else if ((byte === character['{'] || byte === character['[']) && place.length < maxDepth) {
      this.#isNameNext = byte === character['{']
      place.push(this.#isNameNext ? '' : 0)
    } else if (byte === character['}'] || byte === character[']']) {
      place.pop()
      this.#isNameNext = false
    } else if (byte === character[',']) {
      this.#isNameNext = typeof last === 'string'
      if (typeof last === 'number') place[place.length - 1] = last + 1
    }
  }
}
