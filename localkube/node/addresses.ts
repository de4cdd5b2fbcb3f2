/** Gives each pod an address of its own. Pure. */

export class Addresses {
  readonly #prefix: string
  readonly #given = new Set<string>()
  readonly #count: number
  #next = 0

  /** `prefix` is two numbers with dots, such as `127.77.`; the third goes from 16 to 254, the rest is for Services. */
  constructor(prefix: string) {
    if (!/^127\.\d{1,3}\.$/.test(prefix)) throw new Error(`the address prefix must look like 127.77., not ${prefix}`)
    this.#prefix = prefix
    this.#count = 239 * 254
  }

  /** The wish, if it is ours and free (a pod keeps its address over a restart of the node); else the next free one. */
  take(wish?: string): string {
    if (wish?.startsWith(this.#prefix) && !this.#given.has(wish)) {
      this.#given.add(wish)
      return wish
    }
    for (let tries = 0; tries < this.#count; tries++) {
      // Going round makes it long until an address is used again, so late packets meet nobody else.
      const n = this.#next++ % this.#count
      const address = `${this.#prefix}${16 + Math.floor(n / 254)}.${1 + (n % 254)}`
      if (this.#given.has(address)) continue
      this.#given.add(address)
      return address
    }
    throw new Error(`all addresses of ${this.#prefix} are in use`)
  }

  release(address: string): void {
    this.#given.delete(address)
  }
}
