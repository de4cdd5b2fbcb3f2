import { createHmac } from 'node:crypto'
import { sameSecret } from '#core/identity'

/** How old a request may be, seconds: Slack's own advice against replays. */
const windowSeconds = 300

/** Whether Slack made this request, and lately. https://docs.slack.dev/authentication/verifying-requests-from-slack */
export function isSigned(headers: Headers, body: Buffer, secret: string, nowMs: number): boolean {
  const timestamp = headers.get('x-slack-request-timestamp') ?? ''
  if (!/^\d{1,12}$/.test(timestamp)) return false
  const mac = createHmac('sha256', secret).update(`v0:${timestamp}:`).update(body).digest('hex')
  const bySlack = sameSecret(headers.get('x-slack-signature') ?? '', `v0=${mac}`)
  return bySlack && Math.abs(nowMs / 1000 - Number(timestamp)) <= windowSeconds
}
