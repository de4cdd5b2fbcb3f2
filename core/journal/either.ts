/** What came of a source, whether there was more or not. */
type Came<A, B> = { of: 'first'; value: IteratorResult<A> } | { of: 'second'; value: IteratorResult<B> }

/**
 * The next value of two sources, whichever has one, the first where both have. What a source has not been asked for it
 * is asked for, and a value that is not taken stays. A race of promises would do the same and leave something behind at
 * the one that is waited for with every value of the other, of which there may be very many.
 */
export class Either<A, B> {
  readonly #first: Source<A>
  readonly #second: Source<B>
  #wake = () => {}

  /** `asked` is what the second one has been asked for already. */
  constructor(first: AsyncIterator<A>, second: AsyncIterator<B>, asked?: Promise<IteratorResult<B>>) {
    const wake = () => this.#wake()
    this.#first = new Source(first, wake)
    this.#second = new Source(second, wake, asked)
  }

  /** Rejects where the source fails whose turn it is. */
  async next(): Promise<Came<A, B>> {
    for (;;) {
      this.#first.ask()
      this.#second.ask()
      const first = this.#first.take()
      if (first) return { of: 'first', value: first }
      const second = this.#second.take()
      if (second) return { of: 'second', value: second }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }
}

class Source<T> {
  readonly #source: AsyncIterator<T>
  readonly #wake: () => void
  #asked = false
  #came: { value: IteratorResult<T> } | { error: unknown } | undefined

  constructor(source: AsyncIterator<T>, wake: () => void, asked?: Promise<IteratorResult<T>>) {
    this.#source = source
    this.#wake = wake
    if (asked) this.#hear(asked)
  }

  ask(): void {
    if (!this.#asked) this.#hear(this.#source.next())
  }

  #hear(next: Promise<IteratorResult<T>>): void {
    this.#asked = true
    const came = (what: { value: IteratorResult<T> } | { error: unknown }) => {
      this.#came = what
      this.#wake()
    }
    next.then(
      (value) => came({ value }),
      (error: unknown) => came({ error }),
    )
  }

  take(): IteratorResult<T> | undefined {
    const came = this.#came
    if (!came) return undefined
    this.#came = undefined
    this.#asked = false
    if ('error' in came) throw came.error
    return came.value
  }
}
