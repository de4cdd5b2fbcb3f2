import type { z } from 'zod'
import { ClawError } from '#core/errors'

export interface FieldProblem {
  /** Path as kubectl prints it: `spec.agents[default].model.name` is written `spec.agents.default.model.name`. */
  field: string
  message: string
}

/**
 * Checks a spec and fills in its defaults. Unknown fields are refused, because a typing error in a policy must not
 * pass as an absent rule. Throws ClawError `invalid` that names the first field and counts the others.
 */
export function parseSpec<S extends z.ZodObject>(schema: S, spec: unknown, path = 'spec'): z.output<S> {
  const parsed = schema.safeParse(spec)
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.map(
    (issue): FieldProblem => ({
      field: [path, ...issue.path.map(String)].join('.'),
      message: issue.message,
    }),
  )
  const [first, ...rest] = problems
  const more =
    rest.length > 0
      ? ` (and ${rest.length} more: ${rest
          .map((p) => p.field)
          .slice(0, 5)
          .join(', ')})`
      : ''
  throw new ClawError('invalid', `${first?.field}: ${first?.message}${more}`, first ? { field: first.field } : {})
}
