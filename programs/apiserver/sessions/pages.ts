import * as z from 'zod'
import { ClawError } from '#core/errors'
import type { After } from '#core/store'

/** Parameters of every list that comes in pages. */
export const pageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(500).default(100),
  continue: z.string().max(512).optional(),
})

/** What becomes part of a question to the database: a time that it knows, and an id as ours are. */
const place = z.tuple([z.iso.datetime().refine((text) => text >= '1970'), z.string().regex(/^[0-9a-zA-Z-]{1,64}$/)])

/** Reads what `pageOf` wrote. Throws `invalid`. */
export function pageAfter(token: string | undefined): After | undefined {
  if (token === undefined) return undefined
  try {
    const [at, id] = place.parse(JSON.parse(Buffer.from(token, 'base64url').toString()))
    return { at: new Date(at), id }
  } catch (cause) {
    throw new ClawError('invalid', 'continue: not a token that a page ended with', { field: 'continue', cause })
  }
}

/** Rows with the token of the next page, where there may be one. */
export function pageOf<T>(items: T[], limit: number, placeOf: (last: T) => After) {
  const last = items.length === limit ? items.at(-1) : undefined
  if (!last) return { items }
  const { at, id } = placeOf(last)
  return { items, continue: Buffer.from(JSON.stringify([at.toISOString(), id])).toString('base64url') }
}
