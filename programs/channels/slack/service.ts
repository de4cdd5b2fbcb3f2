import { setTimeout as sleep } from 'node:timers/promises'
import { WebClient, type WebClientOptions } from '@slack/web-api'
import type { Received } from '#core/channels'
import { ClawError } from '#core/errors'
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
import { slackText } from '../text/index.ts'
import { callUntil } from './call.ts'
import { Connections } from './connections.ts'
import { Doubts, keyed } from './doubts.ts'
import { readDelivery, type Said } from './events.ts'
import { Files } from './files.ts'
import { Known } from './known.ts'
import { Missed } from './missed.ts'
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
const maxAskers = 10_000
/** More than this is left to Slack, and to its history. */
const maxWaiting = 5_000

interface Listening {
  host: Host
  me: Me
  names: Names
  known: Known
  /** What was said while nobody heard; all that comes now comes behind it. */
  missed: Missed | undefined
  /** Why some of that is not to be had, as Slack says it. */
  unreadable: string
  /** Ends the connection: what is lost with it comes again, or is asked for. */
  fail: (error: unknown) => void
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
  readonly #inTime = new InTime()
  readonly #streams: Streams
  readonly #files: Files
  readonly #doubts: Doubts
  /** Who wrote what, by channel and message, newest last: an answer may be for them. */
  readonly #askers = new Map<string, Person>()
  /** By channel and message: the keys of what had none when it was begun, or stood there from before. */
  readonly #keys = new Map<string, string>()
  #known: Known | undefined
  #waiting = 0

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
    const unsaved = () => signal.aborted || host.log.warn('what was heard is not remembered')
    this.#known ??= await Known.recall({ memory, onUnsaved: unsaved })
    const known = this.#known
    const me = await this.#whoAmI(signal)
    const names = new Names((user) => this.#nameOf(user, signal))
    // Whichever of them fails first ends the others.
    const { promise: failing, reject: fail } = Promise.withResolvers<never>()
    const failed = new AbortController()
    const either = AbortSignal.any([signal, failed.signal])
    const listening: Listening = { host, me, names, known, missed: undefined, unreadable: '', fail }
    this.#unheard(listening, either)
    this.#listening = listening
    const sockets = this.#appToken === undefined ? undefined : this.#connections(this.#appToken, listening, either)
    if (!sockets) this.#heard(listening, either)
    const parts = [
      this.#check(listening, () => !sockets || sockets.open > 0, either),
      ...(sockets ? Array.from({ length: connections }, () => sockets.stayOpen(either)) : []),
    ]
    try {
      await Promise.race([Promise.all(parts), failing])
    } finally {
      failed.abort()
      await Promise.allSettled(parts)
      this.#listening = undefined
      known.abandon()
    }
  }

  /** From here on nothing is heard: what comes afterwards waits for what was missed. */
  #unheard(listening: Listening, signal: AbortSignal): void {
    const { host, me, known } = listening
    known.hold()
    listening.missed = new Missed({
      ...{ web: this.#web, known, signal },
      take: async (said) => {
        const message = toReceived(said, me.team, me)
        if (message?.sender.kind !== 'person') return
        // No more than Slack would have delivered.
        if (message.mentioned || known.hearsAll(said.channel)) await this.#hear(said, message, listening)
      },
      onUnreadable: (error) => {
        listening.unreadable = error.message
        host.log.warn({ error: error.message }, 'what was missed is not to be read')
      },
      onTooMany: () => host.log.warn('more was missed in a chat than is read'),
    })
  }

  /** There is a way for Slack to deliver again. */
  #heard(listening: Listening, signal: AbortSignal): void {
    const { missed, known, fail } = listening
    missed
      ?.ofAll()
      .then(async () => {
        // Nobody hears again, and somebody else will ask.
        if (listening.missed === missed) await known.release()
      })
      .catch((error: unknown) => signal.aborted || fail(error))
  }

  async post(place: Place, text: Rendered, options: PostOptions): Promise<string> {
    const { key, plain, signal } = options
    // Where the bot speaks it is spoken to.
    void this.#known?.met(place).catch(() => {})
    const me = async () => this.#listening?.me ?? (await this.#whoAmI(signal))
    const doubtful = { key, replyTo: options.replyTo, me }
    const posted = await this.#doubts.once(place, doubtful, callUntil(signal), () => this.#post(place, text, options))
    if (typeof posted === 'string') return posted
    this.#keep(place.chat, posted.ts, key)
    // It stands there from before, and may have shown less.
    if (posted.text !== wordsOf(text, plain)) await this.edit(place, posted.ts, text, { plain, signal })
    return posted.ts
  }

  async #post({ chat, thread }: Place, text: Rendered, { key, plain, replyTo, signal }: PostOptions): Promise<string> {
    if (text.growing !== undefined && thread !== undefined && !plain) {
      const to = this.#askers.get(`${chat}/${replyTo}`)
      const begun = await this.#streams.begin({ chat, thread, to }, text.growing, callUntil(signal))
      if (begun !== undefined) {
        this.#keep(chat, begun, key)
        return begun
      }
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
          // What a stream showed is kept otherwise; and what has a key is in doubt no more, whichever it is.
          blocks: [],
          metadata: keyed(this.#keys.get(`${chat}/${message}`) ?? 'said'),
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

  #connections(appToken: string, listening: Listening, signal: AbortSignal): Connections {
    const { host } = listening
    let isHearing = false
    return new Connections({
      appToken,
      clientOptions: this.#options,
      take: (payload) => this.#take(payload, listening),
      onUnknown: () => host.malformed(),
      onOpen: () => {
        host.health(connected(listening))
        if (!isHearing) this.#heard(listening, signal)
        isHearing = true
      },
      onNone: () => {
        isHearing = false
        this.#unheard(listening, signal)
      },
    })
  }

  /** Says what Slack says of the token, again and again. */
  async #check(listening: Listening, isHearing: () => boolean, signal: AbortSignal): Promise<void> {
    const { host, known } = listening
    while (!signal.aborted) {
      if (isHearing()) host.health(connected(listening))
      known.keep().catch(() => {})
      await sleep(checkMs, undefined, { signal }).catch(() => {})
      if (!signal.aborted) await this.#whoAmI(signal)
    }
  }

  /** Anything else than a message of a form that is known is passed over: it would come again for nothing. */
  async #take(payload: unknown, listening: Listening): Promise<void> {
    const { host, me, known, fail } = listening
    const delivery = readDelivery(payload)
    if (delivery.kind === 'unknown') host.malformed()
    if (delivery.kind !== 'said') return
    // An app may be in many workspaces; this bot is in one.
    const isOurs = delivery.for.some(({ team_id: team, user_id: user }) => team === me.team || user === me.user)
    if (delivery.for.length > 0 && !isOurs) return
    const { said, team } = delivery
    const message = toReceived(said, team, me)
    if (!message) return
    if (this.#waiting >= maxWaiting) {
      const error = new ClawError('unavailable', 'more messages wait than the channel keeps')
      fail(error)
      throw error
    }
    this.#waiting++
    try {
      await listening.missed?.ofChat(said.channel)
      await this.#inTime.add(said.channel, Number(said.ts), () => this.#hear(said, message, listening))
      if (message.chat.kind === 'group' && said.type === 'message') known.overhears(said.channel)
    } finally {
      this.#waiting--
    }
  }

  /** Resolves once it is on the bus, and where it was said is remembered. */
  async #hear(said: Said, message: Received, { host, me, names, known }: Listening): Promise<void> {
    this.#remember(said, me.team)
    const name = await names.of(message.sender.name)
    await host.received({ ...message, sender: { ...message.sender, name } })
    known.stored(said.ts)
    if (message.mentioned) await known.met({ chat: message.chat.id, thread: message.thread })
  }

  #keep(chat: string, ts: string, key: string): void {
    this.#keys.set(`${chat}/${ts}`, key)
    if (this.#keys.size > maxAskers) for (const [first] of this.#keys.entries().take(1)) this.#keys.delete(first)
  }

  #remember({ channel, ts, user, user_team: home, team }: Said, installed: string): void {
    if (user === undefined) return
    this.#askers.set(`${channel}/${ts}`, { team: home ?? team ?? installed, user })
    if (this.#askers.size > maxAskers) for (const [first] of this.#askers.entries().take(1)) this.#askers.delete(first)
  }
}

/** No word in a text becomes a link or a name that it was not written as. */
const asWritten = { parse: 'none', link_names: false } as const

function connected({ me, unreadable }: Listening) {
  const missed = unreadable && ` It does not give what was missed while the channel was away. ${unreadable}`
  return { state: 'Connected' as const, reason: 'Connected', message: `Slack answers @${me.name}.${missed}` }
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
