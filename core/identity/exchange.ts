import * as z from 'zod'
import { isPublicKey } from './nkey.ts'

/** Body of `POST /v1/identity`. The caller makes the key; its seed never travels. */
export const identityRequest = z.strictObject({
  userPublicKey: z
    .string()
    .max(64)
    .refine((text) => isPublicKey('user', text), 'must be the public nkey of a user'),
})
export type IdentityRequest = z.infer<typeof identityRequest>

/** What a projected token is traded for. */
export const identityResponse = z.object({
  busJwt: z.string().max(16_384),
  /** Runs only: what the gateway asks for. */
  runToken: z.string().max(16_384).optional(),
  /** When both stop being accepted. */
  expiresAt: z.iso.datetime(),
})
export type IdentityResponse = z.infer<typeof identityResponse>
