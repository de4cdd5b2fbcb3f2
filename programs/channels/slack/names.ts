const maxNames = 10_000
/** A message waits this long for the name of who wrote it, and then goes by the id. */
const patienceMs = 1_000

/** What people are called, asked once for each. A name is for people to read and decides nothing, so none is needed. */
export class Names {
  readonly #ask: (user: string) => Promise<string | undefined>
  readonly #known = new Map<string, Promise<string>>()

  constructor(ask: (user: string) => Promise<string | undefined>) {
    this.#ask = ask
  }

  async of(user: string): Promise<string> {
    const known = this.#known.get(user) ?? this.#find(user)
    this.#known.set(user, known)
    if (this.#known.size > maxNames) for (const [oldest] of this.#known.entries().take(1)) this.#known.delete(oldest)
    const { promise: late, resolve } = Promise.withResolvers<string>()
    const timer = setTimeout(() => resolve(user), patienceMs)
    return await Promise.race([known, late]).finally(() => clearTimeout(timer))
  }

  /** Whoever cannot be asked for, because the scope is missing for one, keeps the id until the channel connects anew. */
  async #find(user: string): Promise<string> {
    const name = await this.#ask(user).catch(() => undefined)
    return name?.trim().slice(0, 256) || user
  }
}
