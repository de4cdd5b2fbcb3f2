import type { LiveMessage } from '#core/journal'

/** The text of the newest step of a run, put together from the pieces in which it comes. */
export class LiveText {
  #attempt = 0
  #step = 0
  #from = 0
  #text = ''

  get text(): string {
    return this.#from > 0 && this.#text ? `… ${this.#text}` : this.#text
  }

  /** Takes a piece; true where that changed the text. What lies before the first piece heard is shown as left out. */
  take({ attempt, step, offset, kind, text }: LiveMessage): boolean {
    if (kind !== 'text' || !text) return false
    if (attempt < this.#attempt || (attempt === this.#attempt && step < this.#step)) return false
    const end = this.#from + this.#text.length
    if (attempt > this.#attempt || step > this.#step || offset > end) {
      // A new step, or a piece between was lost: the reply will hold it.
      this.#attempt = attempt
      this.#step = step
      this.#from = offset
      this.#text = text
      return true
    }
    if (offset + text.length <= end) return false
    this.#text += text.slice(end - offset)
    return true
  }
}
