import * as z from 'zod'
import { errorCodes } from '#core/errors'

/** A namespace: what becomes part of a path that Kubernetes is asked for is a name and nothing else. */
const namespaceName = z
  .string()
  .max(63, { abort: true })
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/)
const objectName = z
  .string()
  .max(253, { abort: true })
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/)

/** Of the path: a namespace, and an object in it. */
export const inNamespace = z.object({ ns: namespaceName.describe('The namespace, which is the tenant.') })
export const ofObject = inNamespace.extend({ name: objectName })

/** Every refusal (RFC 9457). */
export const problem = z
  .object({
    type: z.literal('about:blank'),
    title: z.string(),
    code: z.enum(Object.keys(errorCodes) as [keyof typeof errorCodes]),
    status: z.int(),
    detail: z.string(),
    field: z.string().optional().describe('What it is about: a field, a parameter or a header.'),
  })
  .meta({ id: 'Problem' })

/** Parameters of every list of objects that Kubernetes keeps. */
export const listQuery = z.object({
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(500)
    .default(100)
    .describe('How many objects a page looks at, at most; fewer where they are long.'),
  continue: z.string().max(4096).optional().describe('What the page before ended with.'),
  labelSelector: z.string().max(4096).optional().describe('As kubectl writes it: `team=red,tier in (a, b)`.'),
})

/** A page of objects, as Kubernetes keeps them. */
export function pageOf<S extends z.ZodType>(item: S) {
  return z.object({
    items: z.array(item),
    resourceVersion: z.string(),
    continue: z.string().optional().describe('Where the next page begins; the last page has none.'),
  })
}

const metadata = z
  .looseObject({
    name: z.string(),
    namespace: z.string().optional(),
    uid: z.string().optional(),
    resourceVersion: z.string().optional(),
    generation: z.int().optional(),
    creationTimestamp: z.iso.datetime().optional(),
    labels: z.record(z.string(), z.string()).optional(),
    annotations: z.record(z.string(), z.string()).optional(),
  })
  .meta({ id: 'ObjectMeta' })

/** A spec by the name that the document has for it. */
export function specOf<S extends z.ZodObject>(kind: string, spec: S): S {
  return spec.meta({ id: `${kind}Spec` })
}

/** An object as Kubernetes answers it. */
export function objectOf<S extends z.ZodObject, T extends z.ZodObject>(kind: string, spec: S, status: T) {
  const version = z.literal('k8sclaw.io/v1alpha1')
  return z
    .object({ apiVersion: version, kind: z.literal(kind), metadata, spec, status: status.optional() })
    .meta({ id: kind })
}
