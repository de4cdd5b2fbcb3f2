import { setTimeout as sleep } from 'node:timers/promises'
import { Api } from 'grammy'
import type { UserFromGetMe } from 'grammy/types'
import type { Received } from '#core/channels'
import { sameSecret } from '#core/identity'
import {
  type ChatService,
  type HandedFile,
  type Host,
  InTime,
  type Place,
  type PostOptions,
  type Rendered,
  ServiceError,
  type WebhookAnswer,
  type WebhookRequest,
} from '../frame/index.ts'
import { telegramText } from '../text/index.ts'
import { openById, postFile } from './files.ts'
import { toReceived } from './receive.ts'
import { isUnchanged, toServiceError } from './refusals.ts'
import type { Variables } from './settings.ts'
import { numbered, update } from './shapes.ts'

/** How long Telegram holds a request for updates open, seconds. */
const pollSeconds = 30
/** How long any other call may take, seconds. */
const callSeconds = 40
const uploadSeconds = 120
/** How often Telegram is asked what it last met at the webhook. */
const webhookCheckMs = 30_000

/** Nothing but new messages: an edit is not the word of this moment, and what a channel publishes nobody says to the bot. */
const allowedUpdates = ['message'] as const

const commands = [
  { command: 'new', description: 'Begin a new conversation' },
  { command: 'status', description: 'What is going on' },
  { command: 'stop', description: 'Stop what is going on' },
  { command: 'help', description: 'What I understand' },
]

interface Signals {
  signal: AbortSignal
}

/**
 * One bot of Telegram: asked for updates, or called where there is a webhook. An update is confirmed by asking for those
 * after it, so that moves on only when its message is on the bus.
 */
export class Telegram implements ChatService {
  readonly format = telegramText
  /** About one message a second for a chat, of which edits are a part. */
  readonly paceMs = 1100
  /** Telegram takes the sign away after five seconds. */
  readonly typingMs = 4500
  readonly #api: Api
  readonly #variables: Variables
  /** With the time that a large file takes. */
  readonly #files: Api
  readonly #webhook: { url: string; secret: string } | undefined
  #listening: { host: Host; me: UserFromGetMe } | undefined
  readonly #inTime = new InTime()

  constructor(variables: Variables) {
    const { TELEGRAM_WEBHOOK_URL: url, TELEGRAM_WEBHOOK_SECRET: secret } = variables
    const apiRoot = variables.TELEGRAM_API_URL.replace(/\/$/, '')
    this.#api = new Api(variables.TELEGRAM_BOT_TOKEN, { apiRoot, timeoutSeconds: callSeconds })
    this.#files = new Api(variables.TELEGRAM_BOT_TOKEN, { apiRoot, timeoutSeconds: uploadSeconds })
    this.#variables = variables
    this.#webhook = url !== undefined && secret !== undefined ? { url, secret } : undefined
  }

  async connect(host: Host, signal: AbortSignal): Promise<void> {
    const me = await this.#call((s) => this.#api.getMe(s), { signal })
    await this.#call((s) => this.#api.setMyCommands(commands, {}, s), { signal })
    this.#listening = { host, me }
    try {
      if (this.#webhook) await this.#beCalled(this.#webhook, host, me, signal)
      else await this.#ask(host, me, signal)
    } finally {
      this.#listening = undefined
    }
  }

  async post(place: Place, text: Rendered, { replyTo, plain, signal }: PostOptions): Promise<string> {
    const message = await this.#call(
      (s) =>
        this.#api.sendMessage(
          place.chat,
          plain ? text.plain : text.text,
          { ...markup(plain), ...threadOf(place), ...answering(replyTo) },
          s,
        ),
      { signal },
    )
    return String(message.message_id)
  }

  async edit(
    { chat }: Place,
    message: string,
    text: Rendered,
    { plain, signal }: Pick<PostOptions, 'plain' | 'signal'>,
  ): Promise<void> {
    await this.#call(
      (s) =>
        this.#api
          .editMessageText(chat, Number(message), plain ? text.plain : text.text, markup(plain), s)
          .catch((error: unknown) => {
            if (!isUnchanged(error)) throw error
          }),
      { signal },
    )
  }

  async typing(place: Place, { signal }: Signals): Promise<void> {
    await this.#call((s) => this.#api.sendChatAction(place.chat, 'typing', threadOf(place), s), { signal })
  }

  async download(ref: string, { signal }: Signals): Promise<ReadableStream<Uint8Array>> {
    return await this.#call(() => openById(this.#api, this.#variables, ref, signal), { signal })
  }

  async sendFile(
    place: Place,
    file: HandedFile,
    { replyTo, signal }: Pick<PostOptions, 'replyTo' | 'signal'>,
  ): Promise<string> {
    const other = { ...threadOf(place), ...answering(replyTo) }
    return await this.#call(() => postFile(this.#files, place.chat, file, other, signal), { signal })
  }

  async webhook({ method, headers, body }: WebhookRequest): Promise<WebhookAnswer> {
    if (!this.#webhook) return { status: 404 }
    if (!sameSecret(headers.get('x-telegram-bot-api-secret-token') ?? '', this.#webhook.secret)) return { status: 401 }
    if (method !== 'POST') return { status: 405 }
    // Telegram comes again with what was not taken.
    if (!this.#listening) return { status: 503 }
    const { host, me } = this.#listening
    let given: unknown
    try {
      given = JSON.parse(body.toString())
    } catch {
      host.malformed()
      return { status: 400 }
    }
    const said = this.#read(given, host, me)
    // Telegram delivers by many requests at once; its numbers are for putting them in order.
    if (said) await this.#inTime.add(said.message.chat.id, said.update, () => host.received(said.message))
    return { status: 200 }
  }

  async #ask(host: Host, me: UserFromGetMe, signal: AbortSignal): Promise<void> {
    // Where there is a webhook of former days nothing is given to who asks.
    const { url } = await this.#call((s) => this.#api.getWebhookInfo(s), { signal })
    if (url) await this.#call((s) => this.#api.deleteWebhook({}, s), { signal })
    host.health(connected(me))
    for (let offset: number | undefined; !signal.aborted; ) {
      const updates = await this.#call(
        (s) =>
          this.#api.getUpdates(
            { ...(offset !== undefined && { offset }), timeout: pollSeconds, allowed_updates: allowedUpdates },
            s,
          ),
        { signal },
      )
      if (signal.aborted) return
      host.health(connected(me))
      const before = offset
      for (const one of updates) {
        const said = this.#read(one, host, me)
        if (said) await host.received(said.message)
        const { data } = numbered.safeParse(one)
        if (data) offset = data.update_id + 1
      }
      // What has no number cannot be confirmed. Asked again, Telegram would answer with it at once, and so on for ever.
      if (updates.length > 0 && offset === before)
        throw new ServiceError('later', 'NoUpdateId', 'Telegram delivers what has no update_id to confirm it by.')
    }
  }

  async #beCalled(
    { url, secret }: { url: string; secret: string },
    host: Host,
    me: UserFromGetMe,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#call((s) => this.#api.setWebhook(url, { secret_token: secret, allowed_updates: allowedUpdates }, s), {
      signal,
    })
    const began = Date.now()
    while (!signal.aborted) {
      const info = await this.#call((s) => this.#api.getWebhookInfo(s), { signal })
      if (info.url !== url) throw new Error('another program has taken the webhook of this bot')
      const failed = (info.last_error_date ?? 0) * 1000
      if (info.last_error_message && failed > Math.max(began, Date.now() - 2 * webhookCheckMs)) {
        const message = `Telegram cannot deliver to the webhook: ${info.last_error_message}`
        host.health({ state: 'Disconnected', reason: 'WebhookFails', message })
      } else host.health(connected(me))
      await sleep(webhookCheckMs, undefined, { signal }).catch(() => {})
    }
  }

  /** What has not the form that is known is counted and passed over: it would come again for ever. */
  #read(given: unknown, host: Host, me: UserFromGetMe): { update: number; message: Received } | undefined {
    const { success, data } = update.safeParse(given)
    if (!success) {
      host.malformed()
      return undefined
    }
    const message = data.message && toReceived(data.message, me)
    return message && { update: data.update_id, message }
  }

  async #call<T>(call: (signal: GrammySignal) => Promise<T>, { signal }: Signals): Promise<T> {
    try {
      // grammy's type is that of a package of before there was such a signal; it takes the one of the platform.
      return await call(signal as unknown as GrammySignal)
    } catch (error) {
      throw toServiceError(error)
    }
  }
}

type GrammySignal = Parameters<Api['getMe']>[0]

function markup(plain: boolean) {
  return { ...(!plain && { parse_mode: 'HTML' as const }), link_preview_options: { is_disabled: true } }
}

function threadOf({ thread }: Place) {
  return thread === undefined ? {} : { message_thread_id: Number(thread) }
}

function answering(replyTo: string | undefined) {
  return replyTo === undefined
    ? {}
    : { reply_parameters: { message_id: Number(replyTo), allow_sending_without_reply: true } }
}

function connected(me: UserFromGetMe) {
  return { state: 'Connected' as const, reason: 'Connected', message: `Telegram answers @${me.username}.` }
}
