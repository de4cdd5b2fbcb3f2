import { createHash, createHmac, timingSafeEqual } from 'node:crypto'

/** Whether Meta has signed these bytes. https://developers.facebook.com/docs/graph-api/webhooks/getting-started */
export function isSigned(headers: Headers, body: Buffer, secret: string): boolean {
  const given = headers.get('x-hub-signature-256') ?? ''
  const mac = createHmac('sha256', secret).update(body).digest()
  const isHex = /^sha256=[0-9a-f]{64}$/.test(given)
  // Compared in constant time, whatever was given.
  const isSame = timingSafeEqual(mac, isHex ? Buffer.from(given.slice(7), 'hex') : Buffer.alloc(mac.length))
  return isHex && isSame
}

/**
 * What Meta is to be answered when it asks whether this webhook is the one that was meant; undefined for anybody who does
 * not know the verify token.
 */
export function challengeOf({ searchParams }: URL, verifyToken: string): string | undefined {
  const challenge = searchParams.get('hub.challenge') ?? ''
  const isOurs = isSame(searchParams.get('hub.verify_token') ?? '', verifyToken)
  const isAsked = searchParams.get('hub.mode') === 'subscribe' && /^[\w.-]{1,256}$/.test(challenge)
  return isOurs && isAsked ? challenge : undefined
}

/** In constant time, whatever their lengths. */
function isSame(given: string, secret: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(given), digest(secret))
}
