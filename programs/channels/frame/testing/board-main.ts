/** A channel to the board of test/services: the frame with the least service there can be. */
import * as z from 'zod'
import { httpUrl } from '#core/settings'
import { type ChatService, runChannel, ServiceError, secretVariable } from '../index.ts'

const limit = 200

await runChannel({
  type: 'board',
  variables: z.object({ BOARD_TOKEN: secretVariable, BOARD_URL: httpUrl }),
  token: ({ BOARD_TOKEN }) => BOARD_TOKEN,
  service: ({ BOARD_TOKEN, BOARD_URL }) => board(BOARD_URL, BOARD_TOKEN),
})

function board(url: string, token: string): ChatService {
  const call = async (
    path: string,
    body: object | undefined,
    signal: AbortSignal,
  ): Promise<Record<string, unknown>> => {
    const response = await fetch(new URL(path, url), {
      signal,
      headers: { authorization: `Bearer ${token}` },
      ...(body && { method: 'POST', body: JSON.stringify(body) }),
    })
    const answer = (await response.json()) as { retryAfterMs?: number }
    switch (response.status) {
      case 200:
        return answer as Record<string, unknown>
      case 400:
        throw new ServiceError('markup', 'BadMarkup', 'The board does not understand this.')
      case 401:
        throw new ServiceError('token', 'WrongToken', 'The board refuses the token.')
      case 404:
        throw new ServiceError('message', 'NoMessage', 'There is no such message.')
      case 429:
        throw new ServiceError('later', 'RateLimited', 'The board wants a pause.', { afterMs: answer.retryAfterMs })
      default:
        throw new ServiceError('never', 'Refused', `The board answered ${response.status}.`)
    }
  }
  return {
    format: {
      pieces: (markdown) =>
        (markdown.match(new RegExp(`[^]{1,${limit}}`, 'g')) ?? []).map((text) => ({ text, plain: text })),
    },
    paceMs: 50,
    typingMs: 500,
    async connect(host, signal) {
      for (let after = 0; !signal.aborted; ) {
        const { updates } = await call(`/updates?after=${after}`, undefined, signal)
        host.health({ state: 'Connected', reason: 'Polling', message: 'The board answers.' })
        for (const update of updates as { offset: number; id: string; chat: string; text: string }[]) {
          await host.received({
            id: update.id,
            at: new Date().toISOString(),
            chat: { id: update.chat, kind: 'direct' },
            sender: { id: update.chat, name: 'somebody', kind: 'person' },
            text: update.text,
            mentioned: true,
            mayCommand: true,
            attachments: [],
          })
          after = update.offset
        }
      }
    },
    async post({ chat }, text, { plain, signal }) {
      return String((await call('/post', { chat, text: plain ? text.plain : text.text, plain }, signal)).id)
    },
    async edit({ chat }, message, text, { plain, signal }) {
      await call('/edit', { chat, message, text: plain ? text.plain : text.text, plain }, signal)
    },
    async typing({ chat }, { signal }) {
      await call('/typing', { chat }, signal)
    },
  }
}
