import { ClawError } from '#core/errors'

/** Counts what is open, of everybody and of each user, and refuses what is beyond the limits. */
export class Places {
  readonly #total: number
  readonly #ofEachUser: number
  readonly #refusal: string
  readonly #held = new Map<string, number>()
  #count = 0

  constructor(total: number, ofEachUser: number, refusal = 'too many streams are open; close some') {
    this.#total = total
    this.#ofEachUser = ofEachUser
    this.#refusal = refusal
  }

  /** How many are taken. */
  get held(): number {
    return this.#count
  }

  /** Takes a place; the returned function gives it back, however often it is called. Throws `too_many`. */
  take(user: string): () => void {
    const held = this.#held.get(user) ?? 0
    if (this.#count >= this.#total || held >= this.#ofEachUser) {
      throw new ClawError('too_many', `${this.#refusal}, or try again later`)
    }
    this.#count++
    this.#held.set(user, held + 1)
    let given = false
    return () => {
      if (given) return
      given = true
      this.#count--
      const left = (this.#held.get(user) ?? 1) - 1
      if (left > 0) this.#held.set(user, left)
      else this.#held.delete(user)
    }
  }
}
