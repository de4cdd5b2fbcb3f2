import type { Context } from 'hono'
import type * as z from 'zod'
import { ClawError } from '#core/errors'

/**
 * The query of a request by its schema. Throws `invalid` that names the parameter; one that does not exist is refused,
 * and so is one that is given twice: what would be meant by that is nowhere said.
 */
export function readQuery<S extends z.ZodObject>(c: Context, schema: S): z.output<S> {
  const twice = Object.entries(c.req.queries()).find(([, values]) => values.length > 1)?.[0]
  if (twice !== undefined) throw new ClawError('invalid', `${twice}: is given more than once`, { field: twice })
  return checked(schema.strict(), c.req.query(), 'parameter') as z.output<S>
}

/** The headers of a request that the schema names, in lower case. Throws `invalid` that names the header. */
export function readHeaders<S extends z.ZodObject>(c: Context, schema: S): z.output<S> {
  return checked(schema, c.req.header(), 'header') as z.output<S>
}

function checked(schema: z.ZodObject, value: unknown, what: string): unknown {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys[0] : undefined
  const field = unknown ?? String(issue?.path[0])
  throw new ClawError('invalid', `${field}: ${unknown === undefined ? issue?.message : `there is no such ${what}`}`, {
    field,
    cause: parsed.error,
  })
}
