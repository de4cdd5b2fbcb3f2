import type { Context } from 'hono'
import type * as z from 'zod'
import { ClawError } from '#core/errors'

/** The query of a request by its schema. Throws `invalid` that names the parameter; one that does not exist is refused. */
export function readQuery<S extends z.ZodObject>(c: Context, schema: S): z.output<S> {
  const parsed = schema.strict().safeParse(c.req.query())
  if (parsed.success) return parsed.data as z.output<S>
  const [issue] = parsed.error.issues
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys[0] : undefined
  const field = unknown ?? String(issue?.path[0])
  throw new ClawError('invalid', `${field}: ${unknown === undefined ? issue?.message : 'there is no such parameter'}`, {
    field,
    cause: parsed.error,
  })
}
