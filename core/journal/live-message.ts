import * as z from 'zod'

/**
 * A piece of text as it streams: a preview, replaced by the recorded answer. It stands alone because a channel reads these
 * and nothing else of a run: all that the other messages are made of, the kinds among it, would be 2 MB of its memory.
 */
export const liveMessage = z.object({
  attempt: z.int().min(1),
  /** Ordinal of the model call in the run; 0 before the first. */
  step: z.int().min(0),
  /** UTF-16 code units of this step and source before this piece. */
  offset: z.int().min(0),
  kind: z.enum(['text', 'status']),
  source: z.enum(['model', 'agent']),
  text: z.string(),
})
export type LiveMessage = z.infer<typeof liveMessage>
