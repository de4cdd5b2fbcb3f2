import { ApiError, type StatusCause } from '../api-error.ts'
import { type Kind, resourceName } from '../kinds/index.ts'
import { type FieldError, toCause } from '../schema/index.ts'

/** The failures that concern one object, worded and coded as kube-apiserver does. */
export function notFound(kind: Kind, name: string): ApiError {
  return new ApiError(404, 'NotFound', `${resourceName(kind)} "${name}" not found`, details(kind, name))
}

export function alreadyExists(kind: Kind, name: string): ApiError {
  return new ApiError(409, 'AlreadyExists', `${resourceName(kind)} "${name}" already exists`, details(kind, name))
}

export function conflict(kind: Kind, name: string, why: string): ApiError {
  const message = `Operation cannot be fulfilled on ${resourceName(kind)} "${name}": ${why}`
  return new ApiError(409, 'Conflict', message, details(kind, name))
}

/** Of a delete, which names the kind where other conflicts name the resource. */
export function preconditionFailed(kind: Kind, name: string, why: string): ApiError {
  const id = kind.group ? `${kind.kind}.${kind.group}` : kind.kind
  const message = `Operation cannot be fulfilled on ${id} "${name}": ${why}`
  return new ApiError(409, 'Conflict', message, { ...details(kind, name), kind: kind.kind })
}

export const modified = 'the object has been modified; please apply your changes to the latest version and try again'

export function forbidden(kind: Kind, name: string, why: string, cause?: StatusCause): ApiError {
  const subject = name ? `${resourceName(kind)} "${name}"` : resourceName(kind)
  return new ApiError(403, 'Forbidden', `${subject} is forbidden: ${why}`, {
    ...details(kind, name),
    ...(cause ? { causes: [cause] } : {}),
  })
}

export function invalidObject(kind: Kind, name: string, errors: FieldError[]): ApiError {
  const sentences = errors.map(({ field, detail }) => (field ? `${field}: ${detail}` : detail))
  const [first] = sentences
  const text = sentences.length === 1 ? first : `[${sentences.join(', ')}]`
  const id = kind.group ? `${kind.kind}.${kind.group}` : kind.kind
  return new ApiError(422, 'Invalid', `${id} "${name}" is invalid: ${text}`, {
    ...details(kind, name),
    kind: kind.kind,
    causes: errors.map(toCause),
  })
}

function details(kind: Kind, name: string): { name?: string; group?: string; kind: string } {
  return { ...(name ? { name } : {}), ...(kind.group ? { group: kind.group } : {}), kind: kind.plural }
}
