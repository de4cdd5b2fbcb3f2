/** Work by key: in order within a key, at once across keys. */
export class Lanes {
  readonly #ends = new Map<string, Promise<void>>()

  /** `work` begins when all that was put into this lane before has ended; it must not throw. */
  put(key: string, work: () => Promise<void>): void {
    const end = (this.#ends.get(key) ?? Promise.resolve()).then(work)
    this.#ends.set(key, end)
    void end.finally(() => {
      if (this.#ends.get(key) === end) this.#ends.delete(key)
    })
  }

  /** Resolves when nothing is left. */
  async idle(): Promise<void> {
    await Promise.all(this.#ends.values())
  }
}
