import type { z } from 'zod'
import { ClawError } from '#core/errors'

/**
 * Checks a spec and fills in its defaults. Unknown fields are refused at any depth, because a typing error in a policy
 * must not pass as an absent rule. Throws ClawError `invalid` that names the first field and lists the others.
 */
export function parseSpec<S extends z.ZodType>(schema: S, spec: unknown, path = 'spec'): z.output<S> {
  const parsed = schema.safeParse(spec, { reportInput: true })
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.flatMap((issue) => problemsOf(issue, path))
  const [first, ...rest] = problems
  const others = rest.slice(0, 5).map((p) => p.field)
  const more = rest.length > 0 ? ` (and ${rest.length} more: ${others.join(', ')})` : ''
  throw new ClawError('invalid', `${first?.field}: ${first?.message}${more}`, first ? { field: first.field } : {})
}

interface FieldProblem {
  /** Dotted path, map keys and list indexes included: `spec.agents.default.model.name`. */
  field: string
  message: string
}

function problemsOf(issue: z.core.$ZodIssue, root: string): FieldProblem[] {
  const field = [root, ...issue.path.map(String)].join('.')
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ field: `${field}.${key.slice(0, 64)}`, message: 'unknown field' }))
  }
  if (issue.code === 'invalid_key') {
    return [{ field, message: `not an allowed name: ${issue.issues[0]?.message ?? issue.message}` }]
  }
  if (issue.code === 'invalid_type' && issue.input === undefined) return [{ field, message: 'is required' }]
  return [{ field, message: issue.message }]
}
