/** The channel for Discord inside a test's own process, at a stand-in of Discord. */
import { afterEach, expect } from 'vitest'
import type { Received } from '#core/channels'
import { parseEnvironment } from '#core/settings'
import { createLogger } from '#core/telemetry'
import { type DiscordService, startDiscord } from '../../../test/services/discord.ts'
import type { Host, Memory } from '../frame/index.ts'
import { Discord } from './service.ts'
import { variables } from './settings.ts'

const log = createLogger('channel-discord-test')
log.level = 'silent'

const cleanups: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean()
})

export async function started(options?: Parameters<typeof startDiscord>[0]): Promise<DiscordService> {
  const discord = await startDiscord(options)
  cleanups.push(() => discord.close())
  return discord
}

/** What the bus would keep. */
export function memory(): Memory {
  const words = new Map<string, readonly string[]>()
  return {
    recall: async (name) => words.get(name),
    async remember(name, said) {
      words.set(name, [...said])
    },
  }
}

/** The channel as a process would have it, with what it hands over; `storing` is what the bus does with a message. */
export function connected(
  discord: DiscordService,
  {
    remembered = memory(),
    storing = async () => {},
  }: { remembered?: Memory; storing?: (message: Received) => Promise<void> } = {},
) {
  const service = new Discord(parseEnvironment(variables, discord.env))
  const received: Received[] = []
  const states: string[] = []
  let malformed = 0
  const stop = new AbortController()
  const host: Host = {
    log,
    health: ({ state, reason }) => void states.push(`${state} ${reason}`),
    malformed: () => void malformed++,
    async received(message) {
      await storing(message)
      received.push(message)
    },
  }
  const connect = () =>
    service.connect(host, stop.signal, remembered).then(
      () => 'ended',
      (error: unknown) => error,
    )
  const ended = connect()
  const close = async () => {
    stop.abort()
    await ended
  }
  cleanups.push(close)
  const live = () => expect.poll(() => states, { timeout: 60_000 }).toContain('Connected Connected')
  const texts = () => received.map(({ text }) => text)
  return { service, received, states, ended, connect, close, live, texts, malformed: () => malformed }
}

/** How something is said where nothing depends on it, and what. */
export const options = { key: 'k', plain: false, signal: new AbortController().signal }
export const text = { text: '**x**', plain: 'x' }
