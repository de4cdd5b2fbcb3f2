/** A channel of Slack in the process of a test, between a stand-in and a test that plays the frame. */
import { afterEach, beforeEach, expect } from 'vitest'
import { type Received, received } from '#core/channels'
import { createLogger } from '#core/telemetry'
import { type SlackService, startSlack } from '../../../test/services/slack.ts'
import type { Host, Memory } from '../frame/index.ts'
import { Slack } from './service.ts'
import { variables } from './settings.ts'

export const patient = { timeout: 20_000, interval: 20 }
export const log = createLogger('channel-slack-test')
log.level = 'silent'

export let slack: SlackService
export let service: Slack
let stop: AbortController
/** What the channel has handed over. */
export let inbox: Received[]
export let healths: string[]
let store: () => Promise<void>
let connecting: Promise<void> | undefined
/** As the bus keeps it: beyond any one process. */
let kept: Map<string, readonly string[]>

/** Registers what each test of a file starts with: a stand-in, and no channel yet. */
export function useSlack(): void {
  beforeEach(async () => {
    slack = await startSlack()
    stop = new AbortController()
    inbox = []
    healths = []
    kept = new Map()
    store = async () => {}
  })
  afterEach(async () => {
    await stopped()
    await slack.close()
  })
}

/** What the bus does with a message from now on. */
export function storing(how: () => Promise<void>): void {
  store = how
}

const memory: Memory = {
  recall: async (name) => kept.get(name),
  remember: async (name, words) => void kept.set(name, words),
}

export function connect(env: Record<string, string> = slack.env): Promise<void> {
  service = new Slack(variables.parse(env))
  // What is still under way when a test ends is none of the next one's.
  const heardNow = inbox
  const healthsNow = healths
  const host: Host = {
    log,
    health: ({ state, reason }) => healthsNow.push(`${state} ${reason}`),
    malformed: () => {},
    received: async (message) => {
      await store()
      heardNow.push(received.parse(message))
    },
  }
  connecting = service.connect(host, stop.signal, memory)
  connecting.catch(() => {})
  return connecting
}

/** Ends the channel that is connected, and with it what it was at; another may be connected then. */
export async function stopped(): Promise<void> {
  stop.abort()
  await connecting?.catch(() => {})
  connecting = undefined
  stop = new AbortController()
}

/** Both connections of Socket Mode are there. */
export const connected = () => expect.poll(() => slack.connections(), patient).toBe(2)
export const heard = () => inbox.map(({ text }) => text)
/** Aborts when the channel ends that is connected now. */
export const signal = () => stop.signal
export const options = () => ({ key: 'k', plain: false, signal: stop.signal })
