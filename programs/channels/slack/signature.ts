import { createHmac, timingSafeEqual } from 'node:crypto'

/** How old a request may be, seconds: Slack's own advice against replays. */
const windowSeconds = 300

/** Whether Slack made this request, and lately. https://docs.slack.dev/authentication/verifying-requests-from-slack */
export function isSigned(headers: Headers, body: Buffer, secret: string, nowMs: number): boolean {
  const timestamp = headers.get('x-slack-request-timestamp') ?? ''
  if (!/^\d{1,12}$/.test(timestamp)) return false
  const mac = createHmac('sha256', secret).update(`v0:${timestamp}:`).update(body).digest()
  const given = headers.get('x-slack-signature') ?? ''
  const isHex = /^v0=[0-9a-f]{64}$/.test(given)
  // Compared in constant time, whatever was given.
  const isSame = timingSafeEqual(mac, isHex ? Buffer.from(given.slice(3), 'hex') : Buffer.alloc(mac.length))
  return isHex && isSame && Math.abs(nowMs / 1000 - Number(timestamp)) <= windowSeconds
}
