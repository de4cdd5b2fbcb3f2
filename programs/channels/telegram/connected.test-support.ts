/** A channel of Telegram in the process of a test, between a stand-in and a test that plays the frame. */
import { onTestFinished } from 'vitest'
import type { Received } from '#core/channels'
import { parseEnvironment } from '#core/settings'
import { createLogger } from '#core/telemetry'
import { startTelegram, type TelegramService } from '../../../test/services/telegram.ts'
import type { Host } from '../frame/index.ts'
import { Telegram } from './service.ts'
import { variables } from './settings.ts'

/** A stand-in, until the test is over. */
export async function started(): Promise<TelegramService> {
  const telegram = await startTelegram()
  onTestFinished(() => telegram.close())
  return telegram
}

/** The channel, connected, with what it hands over; `storing` is what the bus does with a message. */
export function connected(
  telegram: TelegramService,
  {
    env = {},
    storing = async () => {},
  }: { env?: Record<string, string>; storing?: (message: Received) => Promise<void> } = {},
) {
  const service = new Telegram(
    parseEnvironment(variables, { TELEGRAM_BOT_TOKEN: telegram.token, TELEGRAM_API_URL: telegram.url, ...env }),
  )
  const received: Received[] = []
  const states: string[] = []
  let malformed = 0
  const stop = new AbortController()
  const host: Host = {
    log: createLogger('test'),
    health: ({ state, reason }) => void states.push(`${state} ${reason}`),
    malformed: () => void malformed++,
    async received(message) {
      await storing(message)
      received.push(message)
    },
  }
  const ended = service.connect(host, stop.signal).then(
    () => 'ended',
    (error: unknown) => error,
  )
  onTestFinished(async () => {
    stop.abort()
    await ended
  })
  return { service, received, states, ended, stop, malformed: () => malformed }
}

/** How something is said where nothing depends on it. */
export const options = { key: 'k', plain: false, signal: new AbortController().signal }
