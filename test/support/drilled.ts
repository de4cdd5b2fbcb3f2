/**
 * The four chat services as the drills see them, two of them in both of the ways in which they deliver: one way to be a
 * person, to break things, and to read what was said.
 */
import { type DiscordService, startDiscord } from '../services/discord.ts'
import type { Faults } from '../services/faults.ts'
import { type SlackService, shownText, startSlack } from '../services/slack.ts'
import { startTelegram, type TelegramService } from '../services/telegram.ts'
import { startWhatsApp, type WhatsAppService } from '../services/whatsapp.ts'

/** A service with people who write to the bot directly. */
export interface Drilled {
  /** Of the channel. */
  type: ServiceName
  /** What the channel's Secret holds. */
  secret: Record<string, string>
  faults: Faults
  /** Calls that say something anew, and calls that change what was said; method and path. */
  posts: RegExp
  edits: RegExp
  /** Whether a repeated message is told by its key: by the service, or by who looks for it there. */
  idempotent: boolean
  /** What the chat with the n-th person is called on the bus; the same in every stand-in of a type. */
  chat(n: number): string
  /** The n-th person writes. */
  say(n: number, text: string): void
  /**
   * The n-th person writes these one after the other; they are delivered at once, the newest first where that may be.
   * Resolves when all are on their way.
   */
  sayAtOnce(n: number, texts: readonly string[]): Promise<void>
  /** What the bot's messages to the n-th person say now, oldest first. */
  said(n: number): string[]
  /** All that was said is delivered once more, the newest first. */
  repeatBackwards(): void
  /** Whether something is with the bot, which has said nothing of it yet. */
  delivered(): boolean
  /** Whether there is something of which the bot has not said that it is taken. */
  untaken(): boolean
  /** The next message that is posted is accepted, and the answer never arrives; resolves when it is accepted. */
  swallowAnswer(): Promise<void>
  /** The next calls that say something are refused for now. */
  flood(calls: number): void
  /** Calls that came before the time that a refusal had named. */
  impatientCalls(): number
  /** Connections that the service holds break. */
  drop(): void
  /** Where the bot is called, for services that call; false where nobody answers there as the bot. */
  callAt?(url: string): Promise<boolean>
  close(): Promise<void>
}

export const services = { telegram, slack, discord, whatsapp }
export type ServiceName = 'telegram' | 'slack' | 'discord' | 'whatsapp'
/** Each way in which a service delivers to a channel. */
export const ways = { ...services, 'telegram-webhook': telegramByWebhook, 'slack-events': slackByEvents }
export type Way = keyof typeof ways

const at = <T>(all: readonly T[], n: number): T => {
  const found = all[n]
  if (found === undefined) throw new Error(`no person ${n}`)
  return found
}

async function telegram(people: number): Promise<Drilled> {
  return drilledTelegram(await startTelegram(), people)
}

async function telegramByWebhook(people: number): Promise<Drilled> {
  const service = await startTelegram()
  const drilled = drilledTelegram(service, people)
  const webhook = {
    TELEGRAM_WEBHOOK_URL: 'https://bot.example.org/webhook',
    TELEGRAM_WEBHOOK_SECRET: 'stand-in_of_a_secret_of_a_webhook',
  }
  return {
    ...drilled,
    secret: { ...drilled.secret, ...webhook },
    async callAt(url) {
      service.leadsTo(url)
      return service.webhookUrl() === webhook.TELEGRAM_WEBHOOK_URL
    },
  }
}

function drilledTelegram(service: TelegramService, people: number): Drilled {
  const all = Array.from({ length: people }, (_, n) => {
    const user = service.user(`Person ${n}`)
    return { user, chat: service.direct(user) }
  })
  const messages: ReturnType<TelegramService['say']>[] = []
  const say = (n: number, text: string) => {
    const { user, chat } = at(all, n)
    messages.push(service.say(user, chat, text))
  }
  return {
    type: 'telegram',
    secret: { TELEGRAM_BOT_TOKEN: service.token, TELEGRAM_API_URL: service.url },
    faults: service.faults,
    posts: /\/sendMessage$/,
    edits: /\/editMessageText$/,
    idempotent: false,
    chat: (n) => String(at(all, n).chat.id),
    say,
    sayAtOnce: (n, texts) =>
      service.atOnce(() => {
        for (const text of texts) say(n, text)
      }),
    said: (n) => service.said(at(all, n).chat).map(({ text = '' }) => text),
    repeatBackwards() {
      for (const message of messages.toReversed()) service.repeat(message)
    },
    delivered: service.delivered,
    untaken: () => service.pending() > 0,
    swallowAnswer: service.swallowAnswer,
    flood: (calls) => service.flood(calls),
    impatientCalls: service.impatientCalls,
    drop() {
      service.outage(true)
      service.outage(false)
    },
    close: service.close,
  }
}

async function slack(): Promise<Drilled> {
  return drilledSlack(await startSlack())
}

async function slackByEvents(): Promise<Drilled> {
  const service = await startSlack()
  return { ...drilledSlack(service), secret: service.eventsEnv, callAt: service.callAt }
}

function drilledSlack(service: SlackService): Drilled {
  const say = (n: number, text: string) => void service.say(`U${n}`, service.direct(n), text)
  return {
    type: 'slack',
    secret: service.env,
    faults: service.faults,
    posts: /chat\.postMessage$/,
    edits: /chat\.update$/,
    idempotent: true,
    chat: (n) => service.direct(n),
    say,
    sayAtOnce: (n, texts) =>
      service.atOnce(() => {
        for (const text of texts) say(n, text)
      }),
    said: (n) => service.said(service.direct(n)).map(shownText),
    repeatBackwards: () => service.again(),
    delivered: service.delivered,
    untaken: () => service.pending() > 0,
    swallowAnswer: service.swallowAnswer,
    flood: service.flood,
    impatientCalls: service.impatientCalls,
    drop: () => service.drop(),
    close: service.close,
  }
}

async function discord(people: number): Promise<Drilled> {
  const service: DiscordService = await startDiscord({ heartbeatMs: 5_000 })
  const all = Array.from({ length: people }, (_, n) => ({
    user: service.user(`Person${n}`),
    channel: service.direct(String(1_000_000_000_000_000_000n + BigInt(n))),
  }))
  const messages: object[] = []
  const say = (n: number, text: string) => {
    const { user, channel } = at(all, n)
    messages.push(service.say(user, channel, text))
  }
  return {
    type: 'discord',
    secret: service.env,
    faults: service.faults,
    posts: /^POST \S+\/messages$/,
    edits: /^PATCH /,
    idempotent: true,
    chat: (n) => at(all, n).channel.id,
    say,
    // A session's events have an order of their own.
    async sayAtOnce(n, texts) {
      for (const text of texts) say(n, text)
    },
    said: (n) => service.said(at(all, n).channel).map(({ content }) => content),
    repeatBackwards() {
      for (const message of messages.toReversed()) service.gateway.dispatch('MESSAGE_CREATE', message)
    },
    delivered: service.gateway.delivered,
    untaken: service.gateway.unheard,
    swallowAnswer: service.swallowAnswer,
    flood: service.flood,
    impatientCalls: service.impatient,
    drop: () => service.gateway.drop(),
    close: service.close,
  }
}

async function whatsapp(people: number): Promise<Drilled> {
  const service: WhatsAppService = await startWhatsApp()
  const all = Array.from({ length: people }, () => service.person())
  return {
    type: 'whatsapp',
    secret: service.env,
    faults: service.faults,
    posts: /^POST \S+\/messages$/,
    edits: /^$/,
    idempotent: false,
    chat: (n) => at(all, n).chat,
    say: (n, text) => void service.say(at(all, n), text),
    sayAtOnce: (n, texts) =>
      service.atOnce(() => {
        for (const text of texts) service.say(at(all, n), text)
      }),
    said: (n) => service.said(at(all, n).chat).map(({ text }) => text),
    repeatBackwards: () => service.again(),
    delivered: service.delivered,
    untaken: () => service.pending() > 0,
    swallowAnswer: service.swallowAnswer,
    flood: service.flood,
    // A refusal names no time but for hours of asking too much.
    impatientCalls: () => 0,
    drop() {
      service.outage(true)
      service.outage(false)
    },
    callAt: service.callAt,
    close: service.close,
  }
}
