/** A channel of WhatsApp in the process of a test, between a stand-in and a test that plays the frame. */
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect } from 'vitest'
import { type Received, received } from '#core/channels'
import { createLogger } from '#core/telemetry'
import { startWhatsApp, type WhatsAppService } from '../../../test/services/whatsapp.ts'
import type { Host, Memory, WebhookRequest } from '../frame/index.ts'
import { channelServer } from '../frame/server.ts'
import { WhatsApp } from './service.ts'
import { variables } from './settings.ts'

export const patient = { timeout: 20_000, interval: 20 }
const log = createLogger('channel-whatsapp-test')
log.level = 'silent'

export let whatsapp: WhatsAppService
export let service: WhatsApp
let stop: AbortController
/** What the channel has handed over. */
export let inbox: Received[]
export let healths: string[]
export let malformed: number
export let remembered: Map<string, readonly string[]>
let store: () => Promise<void>
let connecting: Promise<void> | undefined
export let server: ReturnType<typeof channelServer> | undefined

/** Registers what each test of a file starts with: a stand-in, and no channel yet. */
export function useWhatsApp(): void {
  beforeEach(async () => {
    whatsapp = await startWhatsApp()
    stop = new AbortController()
    inbox = []
    healths = []
    malformed = 0
    remembered = new Map()
    store = async () => {}
  })
  afterEach(async () => {
    stop.abort()
    await connecting?.catch(() => {})
    server?.closeAllConnections()
    server?.close()
    server = undefined
    await whatsapp.close()
  })
}

/** What the bus does with a message from now on. */
export function storing(how: () => Promise<void>): void {
  store = how
}

const memory: Memory = {
  recall: async (name) => remembered.get(name),
  remember: async (name, words) => void remembered.set(name, words),
}

export function connect(more: Record<string, string> = {}): Promise<void> {
  service = new WhatsApp(variables.parse({ ...whatsapp.env, ...more }))
  const host: Host = {
    log,
    health: ({ state, reason }) => healths.push(`${state} ${reason}`),
    malformed: () => void malformed++,
    received: async (message) => {
      await store()
      inbox.push(received.parse(message))
    },
  }
  connecting = service.connect(host, stop.signal, memory)
  connecting.catch(() => {})
  return connecting
}

/** Connected, and called by Meta. */
export async function called(more: Record<string, string> = {}): Promise<void> {
  void connect(more)
  await expect.poll(() => healths, patient).toContain('Connected Connected')
  server = channelServer(service, () => true, log).listen(0, '127.0.0.1')
  await expect.poll(() => server?.listening, patient).toBe(true)
  const { port } = server.address() as AddressInfo
  expect(await whatsapp.callAt(`http://127.0.0.1:${port}/webhook`)).toBe(true)
}

export const request = (body: string, headers: Record<string, string>): WebhookRequest => ({
  ...{ method: 'POST', url: new URL('http://channel/webhook'), headers: new Headers(headers) },
  body: Buffer.from(body),
})
export const signed = (body: string) => request(body, whatsapp.sign(body))
export const delivered = async () => await expect.poll(() => whatsapp.pending(), patient).toBe(0)
export const options = (more: object = {}) => ({ key: 'k', plain: false, signal: stop.signal, ...more })
export const text = { text: 'a *b*', plain: 'a b' }
export const post = (chat: string, words = text) =>
  service.post({ chat }, words, options()).catch(({ refusal, reason, afterMs }) => [refusal, reason, afterMs])
export const now = () => ({ timestamp: String(Math.floor(Date.now() / 1000)) })
export const words = (body: string) => ({ type: 'text', text: { body } })
