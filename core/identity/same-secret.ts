import { createHash, timingSafeEqual } from 'node:crypto'

/**
 * Whether what somebody gave is the secret or signature that it has to be. Takes as long whatever was given and however
 * much of it is right: what is compared are digests, which are of one length.
 */
export function sameSecret(given: string, right: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(given), digest(right))
}
