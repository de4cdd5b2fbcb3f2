import { ClawError } from '#core/errors'

/** An object and the one before it, each at most what an API server itself accepts, with room for escapes. */
export const maxBody = 8 * 1024 * 1024
/** Of all bodies that are being read or judged. Who is turned away is told to ask again. */
export const maxBodies = 32 * 1024 * 1024

/** Reads bodies within a share of memory that all requests have together. */
export class BodyReader {
  #held = 0

  /**
   * Hands the text of the body to `use`, and counts it until that is done. Throws ClawError `too_large` for a body
   * beyond the limit, and `too_many` where the bodies of others take the memory.
   */
  async read<T>(request: Request, use: (text: string) => Promise<T>): Promise<T> {
    let held = 0
    try {
      const chunks: Uint8Array[] = []
      for await (const chunk of request.body ?? []) {
        held += chunk.byteLength
        this.#held += chunk.byteLength
        if (held > maxBody) throw new ClawError('too_large', 'the review is too large')
        if (this.#held > maxBodies) throw new ClawError('too_many', 'too many reviews at once')
        chunks.push(chunk)
      }
      return await use(Buffer.concat(chunks).toString())
    } finally {
      this.#held -= held
    }
  }
}
