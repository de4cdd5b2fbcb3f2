/** How a service calls a bot: each time by a connection of its own, so that what is called at once arrives in any order. */
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { request as secureRequest } from 'node:https'

export interface WebhookCall {
  body: string
  headers: Record<string, string>
  timeoutMs: number
  /** All of it is on its way. */
  onSent: () => void
}

/** The status of the answer, 0 where there is none. */
export async function callWebhook(url: string, { body, headers, timeoutMs, onSent }: WebhookCall): Promise<number> {
  const signal = AbortSignal.timeout(timeoutMs)
  const call = (url.startsWith('https:') ? secureRequest : request)(url, {
    method: 'POST',
    headers,
    agent: false,
    signal,
  })
  call.once('finish', onSent)
  call.end(body)
  try {
    const [response] = (await once(call, 'response')) as [IncomingMessage]
    response.resume()
    await once(response, 'end')
    return response.statusCode ?? 0
  } catch {
    return 0
  }
}
