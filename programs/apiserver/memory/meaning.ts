import { setTimeout as sleep } from 'node:timers/promises'
import { errorMessage } from '#core/errors'
import { decodeVector, type Meaning as RecordedMeaning } from '#core/journal'
import {
  addVectors,
  expireMemories,
  type MemoryVector,
  prepareVectors,
  type Store,
  type VectorSpace,
  withoutVector,
} from '#core/store'
import type { Logger } from '#core/telemetry'
import type { Embedder } from './embedder.ts'

export interface MemoryOptions {
  store: Store
  embedder: Embedder
  log: Logger
}

/** Whoever waits for a memory waits no longer for its vector. */
const embedWithinMs = 10_000
const upkeepEveryMs = 60_000
/** Embedded at once: small, since what a run asks for waits until they are done. */
const batch = 8

/**
 * The meaning of memories, as far as it is to be had: a server without pgvector, or an embedder that does not answer, is
 * no failure; what is stored meanwhile gets its vector later.
 */
export class Meaning {
  readonly #options: MemoryOptions
  /** Whether the database takes vectors of a length, as far as it was asked. */
  readonly #room = new Map<number, Promise<boolean>>()

  constructor(options: MemoryOptions) {
    this.#options = options
  }

  /** Undefined where it cannot be had now. */
  async of(text: string, signal: AbortSignal): Promise<MemoryVector | undefined> {
    const [vector] = await this.#embed([text], signal).catch((error: unknown) => {
      this.#options.log.warn({ error: errorMessage(error) }, 'memory without its meaning')
      return []
    })
    return vector
  }

  /** The same, of a text of which the model of an instance made it; undefined where it cannot be compared. */
  async made(space: VectorSpace, told: RecordedMeaning | undefined): Promise<MemoryVector | undefined> {
    if (told?.model !== space.model || told.dimensions !== space.dimensions) return undefined
    const values = decodeVector(told)
    return values && (await this.hasRoom(space)) ? { ...space, values } : undefined
  }

  /** Whether the database takes such vectors; `own` are those of the platform. */
  async hasRoom({ dimensions }: VectorSpace, own = false): Promise<boolean> {
    const { store, log } = this.#options
    const known = this.#room.get(dimensions)
    if (known) return await known
    const asked = prepareVectors(store, { dimensions }, own)
    this.#room.set(dimensions, asked)
    try {
      const there = await asked
      if (!there && own) log.warn('the database has no pgvector 0.8: memories are found by their words alone')
      return there
    } catch (error) {
      this.#room.delete(dimensions)
      throw error
    }
  }

  /** Forgets what has expired and gives vectors to what has none, until the signal aborts; one replica does it. */
  async upkeep(signal: AbortSignal): Promise<void> {
    const { store, log } = this.#options
    while (!signal.aborted) {
      try {
        await expireMemories(store, new Date())
        while ((await this.#catchUp(signal)) === batch) signal.throwIfAborted()
      } catch (error) {
        if (!signal.aborted) log.warn({ error: errorMessage(error) }, 'memories not kept up')
      }
      await sleep(upkeepEveryMs, undefined, { signal }).catch(() => {})
    }
  }

  async #catchUp(signal: AbortSignal): Promise<number> {
    const { store, embedder } = this.#options
    if (!(await this.#ready())) return 0
    const missing = await withoutVector(store, embedder.space, batch)
    if (missing.length === 0) return 0
    const vectors = await this.#embed(
      missing.map(({ content }) => content),
      signal,
    )
    await addVectors(
      store,
      missing.flatMap(({ id }, i) => (vectors[i] ? [{ id, vector: vectors[i] }] : [])),
    )
    return missing.length
  }

  async #embed(texts: readonly string[], signal: AbortSignal): Promise<MemoryVector[]> {
    if (!(await this.#ready())) return []
    const { space, embed } = this.#options.embedder
    const vectors = await embed(texts, AbortSignal.any([signal, AbortSignal.timeout(embedWithinMs)]))
    return vectors.map((values) => ({ ...space, values }))
  }

  async #ready(): Promise<boolean> {
    return await this.hasRoom(this.#options.embedder.space, true)
  }
}
