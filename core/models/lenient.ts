import type { z } from 'zod'

/** Parses JSON that a provider sent; undefined where it is not JSON or not of the shape, which is the provider's affair. */
export function parseOr<S extends z.ZodType>(schema: S, text: string): z.infer<S> | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  return schema.safeParse(value).data
}
