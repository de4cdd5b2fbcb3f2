import { setTimeout as sleep } from 'node:timers/promises'
import { WebClient, type WebClientOptions } from '@slack/web-api'
import {
  type ChatService,
  type HandedFile,
  type Host,
  isRefusal,
  type Memory,
  type Place,
  type PostOptions,
  type Rendered,
  ServiceError,
  type WebhookAnswer,
  type WebhookRequest,
} from '../frame/index.ts'
import { slackText } from '../text/index.ts'
import { callUntil } from './call.ts'
import { Connections } from './connections.ts'
import { Doubts, keyed } from './doubts.ts'
import { readDelivery, type Said } from './events.ts'
import { Files } from './files.ts'
import { InTime } from './in-time.ts'
import { Names } from './names.ts'
import { type Me, toReceived } from './receive.ts'
import type { Variables } from './settings.ts'
import { isSigned } from './signature.ts'
import { silent } from './socket.ts'
import { type Person, Streams } from './streams.ts'

/** Slack renews connections every few hours; with two, one is always there. */
const connections = 2
/** How often Slack is asked whether the token still holds. */
const checkMs = 30_000
const callMs = 30_000
/** Slack gives up after three seconds, and comes again. */
const webhookMs = 2_500
/** How far apart two connections may bring what was said one after the other. */
const momentMs = 100
const maxAskers = 10_000

interface Listening {
  host: Host
  me: Me
  names: Names
}

/** One bot of Slack, in one workspace. */
export class Slack implements ChatService {
  readonly format = slackText
  /** One message a second for a channel, and about fifty edits a minute. */
  readonly paceMs = 1200
  /** Slack takes the status away after two minutes, or when there is a message. */
  readonly typingMs = 60_000
  readonly #web: WebClient
  readonly #options: WebClientOptions
  readonly #appToken: string | undefined
  readonly #signingSecret: string | undefined
  #listening: Listening | undefined
  readonly #inTime = new InTime(momentMs)
  readonly #streams: Streams
  readonly #files: Files
  readonly #doubts: Doubts
  /** Who wrote what, by channel and message, newest last: an answer may be for them. */
  readonly #askers = new Map<string, Person>()

  constructor(variables: Variables) {
    this.#options = {
      slackApiUrl: variables.SLACK_API_URL,
      logger: silent,
      retryConfig: { retries: 0 },
      rejectRateLimitedCalls: true,
      allowAbsoluteUrls: false,
      timeout: callMs,
    }
    this.#web = new WebClient(variables.SLACK_BOT_TOKEN, { ...this.#options })
    this.#streams = new Streams(this.#web)
    this.#files = new Files(this.#web, variables)
    this.#doubts = new Doubts(this.#web)
    this.#appToken = variables.SLACK_APP_TOKEN
    this.#signingSecret = variables.SLACK_SIGNING_SECRET
  }

  async connect(host: Host, signal: AbortSignal, memory: Memory): Promise<void> {
    await this.#doubts.recall(memory)
    const me = await this.#whoAmI(signal)
    const names = new Names((user) => this.#nameOf(user, signal))
    const listening = { host, me, names }
    this.#listening = listening
    // Whichever of them fails first ends the others.
    const failed = new AbortController()
    const either = AbortSignal.any([signal, failed.signal])
    const sockets = this.#appToken === undefined ? undefined : this.#connections(this.#appToken, listening)
    const parts = [
      this.#check(listening, () => !sockets || sockets.open > 0, either),
      ...(sockets ? Array.from({ length: connections }, () => sockets.stayOpen(either)) : []),
    ]
    try {
      await Promise.all(parts)
    } finally {
      failed.abort()
      await Promise.allSettled(parts)
      this.#listening = undefined
    }
  }

  async post(place: Place, text: Rendered, options: PostOptions): Promise<string> {
    const { key, plain, signal } = options
    const posted = await this.#doubts.once(place, key, callUntil(signal), () => this.#post(place, text, options))
    if (typeof posted === 'string') return posted
    // It stands there from before, and may have shown less.
    if (posted.text !== wordsOf(text, plain)) await this.edit(place, posted.ts, text, { plain, signal })
    return posted.ts
  }

  async #post({ chat, thread }: Place, text: Rendered, { key, plain, replyTo, signal }: PostOptions): Promise<string> {
    if (text.growing !== undefined && thread !== undefined && !plain) {
      const to = this.#askers.get(`${chat}/${replyTo}`)
      const begun = await this.#streams.begin({ chat, thread, to }, text.growing, callUntil(signal))
      if (begun !== undefined) return begun
    }
    const { ts } = await callUntil(signal)(() =>
      this.#web.chat.postMessage({
        channel: chat,
        text: wordsOf(text, plain),
        mrkdwn: !plain,
        ...(thread !== undefined && { thread_ts: thread }),
        metadata: keyed(key),
        ...asWritten,
        unfurl_links: false,
        unfurl_media: false,
      }),
    )
    if (ts === undefined) throw new Error('Slack has taken a message and not said which it is')
    return ts
  }

  async edit(
    { chat }: Place,
    message: string,
    text: Rendered,
    { plain, signal }: Pick<PostOptions, 'plain' | 'signal'>,
  ): Promise<void> {
    const call = callUntil(signal)
    if (text.growing !== undefined && !plain && (await this.#streams.grow(chat, message, text.growing, call))) return
    if (this.#streams.has(chat, message)) await this.#streams.end(chat, message, call)
    const update = () =>
      call(() =>
        this.#web.chat.update({
          channel: chat,
          ts: message,
          text: wordsOf(text, plain),
          // What a stream showed is kept otherwise.
          blocks: [],
          ...asWritten,
        }),
      )
    await update().catch(async (error: unknown) => {
      // Begun by this channel before it was started again.
      if (!isRefusal(error, 'message') || error.reason !== 'StillStreaming') throw error
      await this.#streams.end(chat, message, call)
      await update()
    })
  }

  async download(ref: string, { signal }: { signal: AbortSignal }): Promise<ReadableStream<Uint8Array>> {
    return await this.#noted(this.#files.open(ref, callUntil(signal), signal))
  }

  async sendFile(
    place: Place,
    file: HandedFile,
    { key, signal }: Pick<PostOptions, 'key' | 'signal'>,
  ): Promise<string> {
    return await this.#noted(this.#files.share(place, file, key, callUntil(signal), signal))
  }

  /** Slack shows that an app is at work in threads alone. */
  async typing({ chat, thread }: Place, { signal }: { signal: AbortSignal }): Promise<void> {
    if (thread === undefined) return
    const status = { channel_id: chat, thread_ts: thread, status: 'is working on it...' }
    await callUntil(signal)(() => this.#web.assistant.threads.setStatus(status))
  }

  async webhook({ method, headers, body }: WebhookRequest): Promise<WebhookAnswer> {
    if (this.#signingSecret === undefined) return { status: 404 }
    if (!isSigned(headers, body, this.#signingSecret, Date.now())) return { status: 401 }
    if (method !== 'POST') return { status: 405 }
    const payload = parse(body)
    if (payload === undefined) return { status: 400 }
    if (isVerification(payload)) return { status: 200, body: payload.challenge }
    if (!this.#listening) return { status: 503 }
    // Whatever was not taken in time Slack sends again.
    const late = sleep(webhookMs, 503, { ref: false })
    const taken = this.#take(payload, this.#listening).then(
      () => 200,
      () => 503,
    )
    return { status: await Promise.race([taken, late]) }
  }

  /** A scope that is missing somebody has to add; the person is told no more than that the file did not pass. */
  async #noted<T>(work: Promise<T>): Promise<T> {
    return await work.catch((error: unknown) => {
      if (error instanceof ServiceError && error.reason === 'MissingScope') {
        this.#listening?.host.log.warn({ error: error.message }, 'files are not to be had')
      }
      throw error
    })
  }

  async #whoAmI(signal: AbortSignal): Promise<Me> {
    const said = await callUntil(signal)(() => this.#web.auth.test())
    if (said.user_id === undefined || said.team_id === undefined) throw new Error('Slack has not said who this bot is')
    return { user: said.user_id, bot: said.bot_id, team: said.team_id, name: said.user ?? said.user_id }
  }

  async #nameOf(id: string, signal: AbortSignal): Promise<string | undefined> {
    const { user } = await callUntil(signal)(() => this.#web.users.info({ user: id }))
    return user?.profile?.display_name || user?.real_name || user?.name
  }

  #connections(appToken: string, listening: Listening): Connections {
    const { host, me } = listening
    return new Connections({
      appToken,
      clientOptions: this.#options,
      take: (payload) => this.#take(payload, listening),
      onUnknown: () => host.malformed(),
      onOpen: () => host.health(connected(me)),
    })
  }

  /** Says what Slack says of the token, again and again. */
  async #check({ host, me }: Listening, isHearing: () => boolean, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (isHearing()) host.health(connected(me))
      await sleep(checkMs, undefined, { signal }).catch(() => {})
      if (!signal.aborted) await this.#whoAmI(signal)
    }
  }

  /** Anything else than a message of a form that is known is passed over: it would come again for nothing. */
  async #take(payload: unknown, { host, me, names }: Listening): Promise<void> {
    const delivery = readDelivery(payload)
    if (delivery.kind === 'unknown') host.malformed()
    if (delivery.kind !== 'said') return
    // An app may be in many workspaces; this bot is in one.
    const isOurs = delivery.for.some(({ team_id: team, user_id: user }) => team === me.team || user === me.user)
    if (delivery.for.length > 0 && !isOurs) return
    const message = toReceived(delivery.said, delivery.team, me)
    if (!message) return
    this.#remember(delivery.said, delivery.team)
    await this.#inTime.add(delivery.said.ts, async () => {
      const name = await names.of(message.sender.name)
      await host.received({ ...message, sender: { ...message.sender, name } })
    })
  }

  #remember({ channel, ts, user, user_team: home, team }: Said, installed: string): void {
    if (user === undefined) return
    this.#askers.set(`${channel}/${ts}`, { team: home ?? team ?? installed, user })
    if (this.#askers.size > maxAskers) for (const [first] of this.#askers.entries().take(1)) this.#askers.delete(first)
  }
}

/** No word in a text becomes a link or a name that it was not written as. */
const asWritten = { parse: 'none', link_names: false } as const

function connected({ name }: Me) {
  return { state: 'Connected' as const, reason: 'Connected', message: `Slack answers @${name}.` }
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    return undefined
  }
}

function isVerification(payload: unknown): payload is { challenge: string } {
  const { type, challenge } = (payload ?? {}) as { type?: unknown; challenge?: unknown }
  return type === 'url_verification' && typeof challenge === 'string' && /^[\w.-]{1,256}$/.test(challenge)
}

function wordsOf({ text, plain: unmarked }: Rendered, plain: boolean): string {
  return plain ? escaped(unmarked) : text
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
