import { setTimeout as sleep } from 'node:timers/promises'
import * as z from 'zod'
import type { Received } from '#core/channels'
import {
  type ChatService,
  type HandedFile,
  type Host,
  InTime,
  isRefusal,
  type Memory,
  type Place,
  type PostOptions,
  type Rendered,
  ServiceError,
  type WebhookAnswer,
  type WebhookRequest,
} from '../frame/index.ts'
import { whatsappText } from '../text/index.ts'
import { Files } from './files.ts'
import { Graph } from './graph.ts'
import { fileIdOf, toReceived } from './receive.ts'
import { toServiceError } from './refusals.ts'
import type { Template, Variables } from './settings.ts'
import { type Delivery, readDelivery, type Status } from './shapes.ts'
import { challengeOf, isSigned } from './signature.ts'
import { Nudge } from './template.ts'

/** How often Meta is asked whether token and number still hold: an account may ask 200 things an hour. */
const checkMs = 45_000
/** With the longest pause of the frame well below the two minutes after which a channel passes for silent. */
const checkAnswerMs = 10_000
/** How long what went wrong with one message is shown. */
const troubleMs = 600_000
/** Meta comes again with what was not taken in time. */
const webhookMs = 4_000
/** How long the size of a file is waited for. */
const fileMs = 2_000
/** Deliveries that wait for the bus, and their bytes; Meta keeps the rest. */
const maxWaiting = 200
const maxWaitingBytes = 16 * 1024 * 1024
/** How many chats are remembered for signs of typing; those that wrote longest ago are forgotten first. */
const maxChats = 10_000

type Word = Parameters<Host['health']>[0]

interface Listening {
  host: Host
  nudge: Nudge | undefined
  signal: AbortSignal
}

const number = z.object({ display_phone_number: z.string().max(64), verified_name: z.string().max(256).optional() })
const accepted = z.object({ messages: z.tuple([z.object({ id: z.string().min(1) })], z.unknown()) })
const file = z.object({ file_size: z.coerce.number().int().min(0) })

/** One business number of WhatsApp, called by Meta. What is said there cannot be edited, so an answer comes whole. */
export class WhatsApp implements ChatService {
  readonly format = whatsappText
  /** WhatsApp lets a business say much to a person at once, and then a message in six seconds, as 131056 says. */
  readonly paceMs = 1_000
  /** WhatsApp takes the sign away after 25 seconds, or when there is a message. */
  readonly typingMs = 20_000
  /** https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/overview */
  readonly maxWebhookBytes = 3 * 1024 * 1024
  readonly #graph: Graph
  readonly #files: Files
  readonly #variables: Variables
  readonly #template: Template | undefined
  #listening: Listening | undefined
  #trouble: { word: Word; until: number } | undefined
  #waiting = 0
  #waitingBytes = 0
  /** What was heard last, by chat: only of a message does WhatsApp show that an answer to it is on its way. */
  readonly #last = new Map<string, string>()
  readonly #inTime = new InTime()

  constructor(variables: Variables) {
    this.#variables = variables
    this.#graph = new Graph(variables)
    this.#files = new Files(this.#graph)
    this.#template = variables.WHATSAPP_TEMPLATE
  }

  async connect(host: Host, signal: AbortSignal, memory: Memory): Promise<void> {
    // What Meta delivers is taken also while its API does not answer.
    const nudge = this.#template && new Nudge({ memory, send: (chat, until) => this.#sendTemplate(chat, until) })
    this.#listening ??= { host, nudge, signal }
    while (!signal.aborted) {
      await this.#check(host, signal)
      await sleep(checkMs, undefined, { signal }).catch(() => {})
    }
  }

  async post({ chat }: Place, text: Rendered, { replyTo, plain, signal }: PostOptions): Promise<string> {
    const body = plain ? text.plain : text.text
    const content = { ...answering(replyTo), type: 'text', text: { preview_url: false, body } }
    return await this.#sendOrNudge(chat, content, signal)
  }

  async download(ref: string, { signal }: { signal: AbortSignal }): Promise<ReadableStream<Uint8Array>> {
    return await this.#files.open(ref, signal)
  }

  async sendFile(
    { chat }: Place,
    file: HandedFile,
    { replyTo, key, signal }: Pick<PostOptions, 'replyTo' | 'key' | 'signal'>,
  ): Promise<string> {
    const content = { ...answering(replyTo), ...(await this.#files.content(file, key, signal)) }
    return await this.#sendOrNudge(chat, content, signal)
  }

  /** Where the 24 hours are over the template is sent instead. */
  async #sendOrNudge(chat: string, content: object, signal: AbortSignal): Promise<string> {
    try {
      return await this.#send({ ...addressOf(chat), ...content }, signal)
    } catch (error) {
      if (!isRefusal(error, 'never')) throw error
      const instead = error.reason === 'WindowClosed' ? await this.#windowClosed(chat, signal) : undefined
      if (instead !== undefined) return instead
      this.#say(error)
      throw error
    }
  }

  /** Also marks as read what is being answered. What was heard before a restart is shown no sign. */
  async typing(
    { chat }: Place,
    { replyTo, signal }: { replyTo?: string | undefined; signal: AbortSignal },
  ): Promise<void> {
    const message = replyTo ?? this.#last.get(chat)
    if (message === undefined) return
    await this.#graph.messages({ status: 'read', message_id: message, typing_indicator: { type: 'text' } }, signal)
  }

  async webhook({ method, url, headers, body }: WebhookRequest): Promise<WebhookAnswer> {
    if (method === 'GET') {
      const challenge = challengeOf(url, this.#variables.WHATSAPP_VERIFY_TOKEN)
      return challenge === undefined ? { status: 403 } : { status: 200, body: challenge }
    }
    if (!isSigned(headers, body, this.#variables.WHATSAPP_APP_SECRET)) return { status: 401 }
    if (method !== 'POST') return { status: 405 }
    if (!this.#listening || this.#waiting >= maxWaiting) return { status: 503 }
    if (this.#waitingBytes + body.length > maxWaitingBytes) return { status: 503 }
    let payload: unknown
    try {
      payload = JSON.parse(body.toString())
    } catch {
      this.#listening.host.malformed()
      return { status: 400 }
    }
    this.#waiting++
    this.#waitingBytes += body.length
    const taken = this.#take(payload, this.#listening)
      .then(
        () => 200,
        () => 503,
      )
      .finally(() => {
        this.#waiting--
        this.#waitingBytes -= body.length
      })
    return { status: await Promise.race([taken, sleep(webhookMs, 503, { ref: false })]) }
  }

  /** Says what Meta says of token and number. */
  async #check(host: Host, signal: AbortSignal): Promise<void> {
    try {
      const either = AbortSignal.any([signal, AbortSignal.timeout(checkAnswerMs)])
      const read = number.safeParse(await this.#graph.number(['display_phone_number', 'verified_name'], either))
      if (!read.success) throw new ServiceError('token', 'WrongNumberId', 'WHATSAPP_PHONE_NUMBER_ID names no number.')
      const { display_phone_number: shown, verified_name: name } = read.data
      const trouble = this.#trouble && this.#trouble.until > Date.now() ? this.#trouble.word : undefined
      const message = `WhatsApp answers for ${shown}${name ? ` (${name})` : ''}.`
      host.health(trouble ?? { state: 'Connected', reason: 'Connected', message })
    } catch (error) {
      // Asked too often is still known there, and pauses of many minutes would pass for silence.
      if (!(isRefusal(error, 'later') && error.reason === 'RateLimited')) throw error
      host.health({ state: 'Connected', reason: error.reason, message: error.message })
    }
  }

  /** Takes all of a delivery, in its order. */
  async #take(payload: unknown, listening: Listening): Promise<void> {
    const { host } = listening
    const deliveries = readDelivery(payload, this.#variables.WHATSAPP_PHONE_NUMBER_ID, () => host.malformed())
    for (const delivery of deliveries) {
      await this.#takeMessages(delivery, listening)
      for (const status of delivery.statuses) await this.#takeStatus(status, listening)
      for (const { code, title } of delivery.failures) this.#say(toServiceError({ code, message: title ?? 'an error' }))
    }
  }

  async #takeMessages({ messages, contacts, number: own }: Delivery, { host, signal }: Listening): Promise<void> {
    const taking = messages.map(async (message) => {
      const received = toReceived(message, { contacts, number: own, nowMs: Date.now() })
      if (!received) return
      await this.#inTime.add(received.chat.id, Number(message.timestamp), async () => {
        await host.received(await this.#withSize(received, fileIdOf(message), signal))
        this.#heard(received)
      })
    })
    await Promise.all(taking)
  }

  #heard({ chat, message }: Received): void {
    if (message === undefined) return
    this.#last.delete(chat.id)
    this.#last.set(chat.id, message)
    const [oldest] = this.#last.keys()
    if (oldest !== undefined && this.#last.size > maxChats) this.#last.delete(oldest)
  }

  /** A size that is not to be had in time holds no message up. */
  async #withSize(received: Received, id: string | undefined, signal: AbortSignal): Promise<Received> {
    const [attachment] = received.attachments
    if (!attachment || id === undefined) return received
    const either = AbortSignal.any([signal, AbortSignal.timeout(fileMs)])
    const read = file.safeParse(await this.#graph.file(id, either).catch(() => undefined))
    return read.success ? { ...received, attachments: [{ ...attachment, size: read.data.file_size }] } : received
  }

  /** What became of a message that was accepted: that it failed is all that has an effect. */
  async #takeStatus(status: Status, { host, signal }: Listening): Promise<void> {
    const [failure] = status.errors ?? []
    if (status.status !== 'failed' || !failure) return
    const error = toServiceError({ code: failure.code, message: failure.title ?? 'an error' })
    host.log.warn({ message: status.id, reason: error.reason, code: failure.code }, 'accepted and not delivered')
    const chat = status.recipient_user_id ?? status.recipient_id
    const isPerson = chat && status.recipient_type !== 'group'
    const instead = isPerson && error.reason === 'WindowClosed' ? await this.#windowClosed(chat, signal) : undefined
    if (instead === undefined) this.#say(error)
  }

  /** What is said in the place of an answer after 24 hours, if anything. Throws only what is worth another try. */
  async #windowClosed(chat: string, signal: AbortSignal): Promise<string | undefined> {
    if (!this.#template) return undefined
    if (!this.#listening?.nudge) throw new ServiceError('later', 'Starting', 'The channel is not connected yet.')
    try {
      return await this.#listening.nudge.ask(chat, signal)
    } catch (error) {
      if (!isRefusal(error, 'never')) throw error
      this.#say(error)
      return undefined
    }
  }

  async #sendTemplate(chat: string, signal: AbortSignal): Promise<string> {
    const { name, language } = this.#template ?? { name: '', language: '' }
    const template = { name, language: { policy: 'deterministic', code: language } }
    return await this.#send({ ...addressOf(chat), type: 'template', template }, signal)
  }

  async #send(content: object, signal: AbortSignal): Promise<string> {
    const { messages } = accepted.parse(await this.#graph.messages(content, signal))
    // No answer of ours refers to it, so what is too long to be remembered may be cut.
    return messages[0].id.slice(0, 128)
  }

  /** Shows in the status what went wrong with one message, or with all. */
  #say(error: ServiceError): void {
    const isAll = error.refusal === 'token'
    const hint = error.reason === 'WindowClosed' && !this.#template ? ' WHATSAPP_TEMPLATE is not set.' : ''
    const word = { state: isAll ? 'Error' : 'Connected', reason: error.reason, message: error.message + hint } as const
    this.#trouble = { word, until: Date.now() + troubleMs }
    this.#listening?.host.health(word)
  }
}

function answering(replyTo: string | undefined) {
  return replyTo === undefined ? {} : { context: { message_id: replyTo } }
}

/** A person by number or by id, or a group: three things that WhatsApp is told in three ways. */
function addressOf(chat: string) {
  if (/^\d{1,20}$/.test(chat)) return { recipient_type: 'individual', to: chat }
  if (/^[A-Z]{2}\./.test(chat)) return { recipient_type: 'individual', recipient: chat }
  return { recipient_type: 'group', to: chat }
}
