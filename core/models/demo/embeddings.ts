import { createHash } from 'node:crypto'
import { ClawError } from '#core/errors'
import type { Json } from '../rules.ts'

/** Length of the vectors where the request asks for no other. */
const usualDimensions = 256
const maxDimensions = 4_096

/**
 * What the demo model answers to a judged request of embeddings, in OpenAI's wire format. A vector is the sum of what
 * the words and the triples of letters of its text are hashed to: texts that share words or their beginnings are near to
 * each other, and nothing is known of what a word means. The same request gives the same bytes. Throws ClawError
 * `invalid` for vectors that are too long.
 */
export function demoEmbeddings(body: Json): string {
  const texts = (Array.isArray(body.input) ? body.input : [body.input]).map(String)
  const dimensions = typeof body.dimensions === 'number' ? body.dimensions : usualDimensions
  if (dimensions > maxDimensions) throw new ClawError('invalid', `dimensions: at most ${maxDimensions} are made`)
  const data = texts.map((text, index) => {
    const vector = vectorOf(text, dimensions)
    const embedding = body.encoding_format === 'base64' ? Buffer.from(vector.buffer).toString('base64') : [...vector]
    return { object: 'embedding', index, embedding }
  })
  const used = texts.reduce((sum, text) => sum + Math.max(1, wordsOf(text).length), 0)
  return JSON.stringify({ object: 'list', data, model: 'demo', usage: { prompt_tokens: used, total_tokens: used } })
}

function vectorOf(text: string, dimensions: number): Float32Array {
  const vector = new Float32Array(dimensions)
  for (const [feature, weight] of featuresOf(text)) {
    const hash = createHash('sha256').update(feature).digest()
    const at = hash.readUInt32LE(0) % dimensions
    vector[at] = (vector[at] ?? 0) + (hash.readUInt8(4) % 2 === 0 ? weight : -weight)
  }
  const length = Math.hypot(...vector)
  // A text without words, or whose features cancel out, is like no other, and still has a direction.
  if (length === 0) vector[0] = 1
  return length === 0 ? vector : vector.map((value) => value / length)
}

function featuresOf(text: string): [feature: string, weight: number][] {
  return wordsOf(text).flatMap((word) => {
    const triples = Array.from({ length: word.length }, (_, i) => ` ${word} `.slice(i, i + 3))
    return [[word, 1], ...triples.map((triple): [string, number] => [`~${triple}`, 1 / triples.length])]
  })
}

function wordsOf(text: string): string[] {
  return (
    text
      .normalize('NFKC')
      .toLowerCase()
      .match(/[\p{L}\p{N}]+/gu) ?? []
  )
}
