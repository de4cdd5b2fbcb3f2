import * as z from 'zod'

/**
 * The call by which a bridge has a model of its instance make vectors of texts: of what a `memory_search` looks for, or of
 * memories that have none yet. No agent can make it: ids of agents have no colon.
 */
export const embeddingCall = { prefix: 'bridge:embedding-', tool: 'embedding' } as const

/** Vectors that can be compared: of one model of one provider, of one length. */
const space = z.object({
  /** `provider/name`. */
  model: z.string().min(1).max(320),
  dimensions: z.int().min(1).max(4000),
})
/** Numbers of 32 bits, little-endian, in base64. */
const vector = z.string().max(24 * 1024)

/** What a text means. */
export const meaning = space.extend({ vector })
export type Meaning = z.infer<typeof meaning>

/** How many memories are embedded at once. */
export const embeddedAtOnce = 8

/** Memories of which vectors are wanted. */
export const unembedded = z.array(z.object({ id: z.string().min(1).max(64), content: z.string() })).max(embeddedAtOnce)
export type Unembedded = z.infer<typeof unembedded>

/** What is recorded of them: whoever follows the record keeps the vectors with the memories. */
export const embeddedMemories = space.extend({
  memories: z.array(z.object({ id: z.string().min(1).max(64), vector })).max(embeddedAtOnce),
})
export type EmbeddedMemories = z.infer<typeof embeddedMemories>

/** Numbers as the record holds them. */
export function encodeVector(values: readonly number[]): string {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [i, value] of values.entries()) bytes.writeFloatLE(value, 4 * i)
  return bytes.toString('base64')
}

/**
 * The numbers, brought to length 1, by which nothing changes where directions are compared: a provider may answer
 * anything. Undefined for one that has no direction, or not so many numbers.
 */
export function decodeVector({ dimensions, vector }: Pick<Meaning, 'dimensions' | 'vector'>): number[] | undefined {
  const bytes = Buffer.from(vector, 'base64')
  if (bytes.length !== 4 * dimensions) return undefined
  const values = Array.from({ length: dimensions }, (_, i) => bytes.readFloatLE(4 * i))
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
  if (!Number.isFinite(largest) || largest === 0) return undefined
  const scaled = values.map((value) => value / largest)
  const length = Math.hypot(...scaled)
  return scaled.map((value) => value / length)
}
