import type { VectorSpace } from '#core/store'

/** Makes vectors of texts, near to each other where the texts mean the like. */
export interface Embedder {
  readonly space: VectorSpace
  /** One vector for each text, in their order. Throws where they cannot be had. */
  embed(texts: readonly string[], signal: AbortSignal): Promise<number[][]>
  close(): Promise<void>
}
