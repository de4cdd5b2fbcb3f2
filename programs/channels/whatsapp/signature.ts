import { createHmac } from 'node:crypto'
import { sameSecret } from '#core/identity'

/** Whether Meta has signed these bytes. https://developers.facebook.com/docs/graph-api/webhooks/getting-started */
export function isSigned(headers: Headers, body: Buffer, secret: string): boolean {
  const mac = createHmac('sha256', secret).update(body).digest('hex')
  return sameSecret(headers.get('x-hub-signature-256') ?? '', `sha256=${mac}`)
}

/**
 * What Meta is to be answered when it asks whether this webhook is the one that was meant; undefined for anybody who does
 * not know the verify token.
 */
export function challengeOf({ searchParams }: URL, verifyToken: string): string | undefined {
  const challenge = searchParams.get('hub.challenge') ?? ''
  const isOurs = sameSecret(searchParams.get('hub.verify_token') ?? '', verifyToken)
  const isAsked = searchParams.get('hub.mode') === 'subscribe' && /^[\w.-]{1,256}$/.test(challenge)
  return isOurs && isAsked ? challenge : undefined
}
