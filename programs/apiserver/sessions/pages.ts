import * as z from 'zod'
import { ClawError } from '#core/errors'
import type { After, AsidePlace, TranscriptPlace } from '#core/store'

/** Parameters of every list that comes in pages. */
export const pageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(500).default(100),
  continue: z.string().max(512).optional(),
})

/** What becomes part of a question to the database: a time that it knows, and an id as ours are. */
const moment = z.iso.datetime().refine((text) => text >= '1970')
const place = z.tuple([moment, z.string().regex(/^[0-9a-zA-Z-]{1,64}$/)])

/** Reads what `pageOf` wrote. Throws `invalid`. */
export function pageAfter(token: string | undefined): After | undefined {
  const read = readToken(token, place)
  return read && { at: new Date(read[0]), id: read[1] }
}

const count = z.int().min(0)
/** PostgreSQL's integer ends there. */
const spoken = z.tuple([z.enum(['copied', 'own']), count.max(2 ** 31 - 1), count])

/** The same of a transcript. Throws `invalid`. */
export function placeAfter(token: string | undefined): TranscriptPlace | undefined {
  const read = readToken(token, spoken)
  return read && { part: read[0], epoch: read[1], sequence: read[2] }
}

const aside = z.tuple([moment, z.enum(['RUNS', 'USAGE']), count])

/** The same of what was set aside. Throws `invalid`. */
export function placeAside(token: string | undefined): AsidePlace | undefined {
  const read = readToken(token, aside)
  return read && { at: new Date(read[0]), stream: read[1], sequence: read[2] }
}

/** Rows that were set aside with the token of the next page, where there may be one. */
export function pageOfAside<T extends AsidePlace>(items: T[], limit: number) {
  const last = items.length === limit ? items.at(-1) : undefined
  return { items, ...(last && { continue: tokenFor([last.at.toISOString(), last.stream, last.sequence]) }) }
}

/** The token of the page of a transcript that begins behind this place. */
export function tokenOf({ part, epoch, sequence }: TranscriptPlace): string {
  return tokenFor([part, epoch, sequence])
}

function tokenFor(parts: readonly unknown[]): string {
  return Buffer.from(JSON.stringify(parts)).toString('base64url')
}

function readToken<T>(token: string | undefined, schema: z.ZodType<T>): T | undefined {
  if (token === undefined) return undefined
  try {
    return schema.parse(JSON.parse(Buffer.from(token, 'base64url').toString()))
  } catch (cause) {
    throw new ClawError('invalid', 'continue: not a token that a page ended with', { field: 'continue', cause })
  }
}

/** Rows with the token of the next page, where there may be one. */
export function pageOf<T>(items: T[], more: boolean, placeOf: (last: T) => After) {
  const last = more ? items.at(-1) : undefined
  if (!last) return { items }
  const { at, id } = placeOf(last)
  return { items, continue: tokenFor([at.toISOString(), id]) }
}
