import { readFile } from 'node:fs/promises'
import * as z from 'zod'
import { ClawError, errorMessage } from '#core/errors'
import type { VectorSpace } from '#core/store'
import type { Embedder } from './embedder.ts'

export interface EndpointOptions extends VectorSpace {
  /** What `/embeddings` follows, as OpenAI's `https://api.openai.com/v1`. */
  url: string
  /** File with the key; read for each request, so that a key that is changed needs no restart. */
  keyFile?: string | undefined
}

const maxReplyBytes = 16 * 1024 * 1024

/** Vectors from a service that speaks OpenAI's `POST /embeddings`. What it answers is checked for number and size. */
export function endpointEmbedder({ url, keyFile, model, dimensions }: EndpointOptions): Embedder {
  const vector = z.array(z.number()).length(dimensions)
  const replyOf = (count: number) =>
    z.object({ data: z.array(z.object({ index: z.int(), embedding: vector })).length(count) })
  return {
    space: { model, dimensions },
    async embed(texts, signal) {
      try {
        const key = keyFile === undefined ? undefined : (await readFile(keyFile, 'utf8')).trim()
        const response = await fetch(`${url.replace(/\/$/, '')}/embeddings`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...(key && { authorization: `Bearer ${key}` }) },
          body: JSON.stringify({ model, input: texts, encoding_format: 'float' }),
          redirect: 'error',
          signal,
        })
        const text = await limited(response)
        if (!response.ok) throw new Error(`it answered ${response.status}`)
        const { data } = replyOf(texts.length).parse(JSON.parse(text))
        const byIndex = new Map(data.map(({ index, embedding }) => [index, embedding]))
        return texts.map((_, i) => {
          const values = byIndex.get(i)
          if (!values) throw new Error(`it gave no vector for text ${i}`)
          return values
        })
      } catch (cause) {
        signal.throwIfAborted()
        throw new ClawError('unavailable', `the embeddings service: ${errorMessage(cause)}`, { cause })
      }
    },
    async close() {},
  }
}

async function limited({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body ?? []) {
    length += chunk.length
    if (length > maxReplyBytes) throw new Error('it answered too much')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}
