/**
 * Telegram's Bot API as its documentation has it (https://core.telegram.org/bots/api), for one bot, over HTTP on
 * 127.0.0.1, and the people and chats on the other side. It is strict where the service is: tokens, markup, lengths, one
 * poller at a time, secrets of webhooks. As a local Bot API server may, it calls webhooks over plain HTTP.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Faults } from './faults.ts'
import { TelegramFiles } from './telegram-files.ts'
import { CannotParse, type Entity, type FormattedText, mentionsIn, parseHtml } from './telegram-html.ts'
import { callWebhook } from './webhook.ts'

export interface User {
  id: number
  is_bot: boolean
  first_name: string
  username?: string
}

export interface Chat {
  id: number
  type: 'private' | 'supergroup'
  title?: string
  is_forum?: true
}

export interface Message {
  message_id: number
  message_thread_id?: number
  is_topic_message?: true
  date: number
  edit_date?: number
  chat: Chat
  from?: User
  sender_chat?: { id: number; type: string; title?: string }
  text?: string
  entities?: Entity[]
  reply_to_message?: Message
  forward_origin?: object
  via_bot?: User
  quote?: { text: string; position: number; is_manual?: boolean }
  [other: string]: unknown
}

/** What goes with what a person writes. */
export interface Saying {
  thread?: number
  replyTo?: number
  /** As the chat itself or a channel: an anonymous administrator. */
  as?: Chat
  /** Any other fields of the message: `forward_origin`, `quote`, `document`, ... */
  more?: Partial<Message>
}

/** A call that the bot made. */
export interface Call {
  method: string
  parameters: Record<string, unknown>
  /** 0 where it was never answered. */
  status: number
}

/** What is wrong with a call, as the service answers it. */
class Refused extends Error {
  readonly code: number
  readonly retryAfter: number | undefined

  constructor(code: number, description: string, retryAfter?: number) {
    super(description)
    this.code = code
    this.retryAfter = retryAfter
  }
}

interface Update {
  update_id: number
  [kind: string]: unknown
}

interface Poll {
  answer: (updates: Update[] | Refused) => void
}

export type TelegramService = Awaited<ReturnType<typeof startTelegram>>

export async function startTelegram(token = '123456:stand-in_of_a_token_of_a_bot', port = 0) {
  const bot: User = { id: Number(token.split(':')[0]), is_bot: true, first_name: 'Claw', username: 'claw_bot' }
  const calls: Call[] = []
  const chats = new Map<number, { chat: Chat; messages: Map<number, Message>; topics: Set<number> }>()
  const blocked = new Set<number>()
  let updates: Update[] = []
  let lastUpdate = 1000
  let lastId = 100
  let poll: Poll | undefined
  let webhook: { url: string; secret: string; error?: string; errorDate?: number } | undefined
  let down = false
  let revoked = false
  let floods = { left: 0, retryAfter: 0 }
  let swallowed: (() => void) | undefined
  let doubts = 0
  let impatient = 0
  const heldUntil = new Map<unknown, number>()
  const files = new TelegramFiles((code, description) => new Refused(code, description))
  let delivering = false
  /** The last update that was given to whoever asked. */
  let lastGiven = 0
  /** Being posted now. */
  const out = new Map<Update, { isSent: boolean }>()
  /** What is said together, until all of it is. */
  let together: Update[] | undefined
  /** Where the public address of the bot leads. */
  let route: string | undefined
  let closed = false

  const faults = new Faults()
  const server = createServer(
    faults.around((request, response) => {
      serve(request, response).catch(() => response.destroy())
    }),
  )
  const url = `http://${await faults.listen(server, port)}`

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parameters = await readParameters(request)
    const path = new URL(request.url ?? '/', url).pathname
    const [, opener, filePath = ''] = path.match(/^\/file\/bot([^/]+)\/(.+)$/) ?? []
    if (opener !== undefined) return serveFile(opener, filePath, response)
    const [, given, method = ''] = path.match(/^\/bot([^/]+)\/(\w+)$/) ?? []
    const call: Call = { method, parameters, status: 0 }
    if (given !== undefined) calls.push(call)
    if (down) return void response.destroy()
    let answer: object
    try {
      if (given === undefined || !/^\d+:[\w-]+$/.test(given)) throw new Refused(404, 'Not Found')
      if (given !== token || revoked) throw new Refused(401, 'Unauthorized')
      answer = { ok: true, result: await perform(method, parameters, request) }
      call.status = 200
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      call.status = error.code
      answer = {
        ok: false,
        error_code: error.code,
        description: error.message,
        ...(error.retryAfter !== undefined && { parameters: { retry_after: error.retryAfter } }),
      }
    }
    if (swallowed && /^send(?:Message|Document|Photo)$/.test(method) && call.status === 200) {
      swallowed()
      swallowed = undefined
      return
    }
    response.writeHead(call.status, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
  }

  function serveFile(given: string, path: string, response: ServerResponse): void {
    const bytes = given === token && !revoked && !down ? files.at(path) : undefined
    if (down) response.destroy()
    else if (!bytes)
      response.writeHead(404, { 'content-type': 'application/json' }).end('{"ok":false,"error_code":404}')
    else response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(bytes)
  }

  async function perform(method: string, given: Record<string, unknown>, request: IncomingMessage): Promise<unknown> {
    if (/^(?:(?:send|edit)Message|send(?:Document|Photo)$)/.test(method)) hurry(given)
    switch (method) {
      case 'getMe':
        return { ...bot, can_join_groups: true, can_read_all_group_messages: false, supports_inline_queries: false }
      case 'getUpdates':
        return await getUpdates(given, request)
      case 'setWebhook':
        return setWebhook(given)
      case 'deleteWebhook':
        webhook = undefined
        if (given.drop_pending_updates === true) updates = []
        return true
      case 'getWebhookInfo':
        return {
          url: webhook?.url ?? '',
          has_custom_certificate: false,
          pending_update_count: updates.length,
          ...(webhook?.error && { last_error_message: webhook.error, last_error_date: webhook.errorDate }),
        }
      case 'setMyCommands':
        return setCommands(given)
      case 'sendMessage':
        return sendMessage(given)
      case 'sendDocument':
      case 'sendPhoto': {
        chatOf(given)
        return posted(given, await files.uploaded(method === 'sendPhoto' ? 'photo' : 'document', given))
      }
      case 'getFile':
        return files.getFile(given)
      case 'editMessageText':
        return editMessage(given)
      case 'sendChatAction':
        chatOf(given)
        if (given.action !== 'typing') throw new Refused(400, 'Bad Request: wrong parameter action in request')
        return true
      default:
        throw new Refused(404, 'Not Found')
    }
  }

  /** Refuses what comes in a flood, and before a chat's time has come. */
  function hurry({ chat_id: chat }: Record<string, unknown>): void {
    const wait = (heldUntil.get(chat) ?? 0) - Date.now()
    if (wait > 0) impatient++
    else if (floods.left > 0) {
      floods.left--
      heldUntil.set(chat, Date.now() + floods.retryAfter * 1000)
    } else return
    const seconds = Math.max(1, wait > 0 ? Math.ceil(wait / 1000) : floods.retryAfter)
    throw new Refused(429, `Too Many Requests: retry after ${seconds}`, seconds)
  }

  async function getUpdates({ offset, limit, timeout }: Record<string, unknown>, request: IncomingMessage) {
    if (webhook)
      throw new Refused(
        409,
        "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
      )
    poll?.answer(
      new Refused(
        409,
        'Conflict: terminated by other getUpdates request; make sure that only one bot instance is running',
      ),
    )
    if (typeof offset === 'number') updates = updates.filter(({ update_id }) => update_id >= offset)
    const most = typeof limit === 'number' ? Math.min(Math.max(limit, 1), 100) : 100
    if (updates.length === 0 && typeof timeout === 'number' && timeout > 0) {
      const answer = await new Promise<Update[] | Refused>((resolve) => {
        const mine: Poll = { answer: resolve }
        poll = mine
        const timer = setTimeout(() => resolve([]), timeout * 1000)
        const gone = () => resolve([])
        request.socket.once('close', gone)
        mine.answer = (said) => {
          clearTimeout(timer)
          request.socket.off('close', gone)
          if (poll === mine) poll = undefined
          resolve(said)
        }
      })
      if (answer instanceof Refused) throw answer
    }
    const some = updates.slice(0, most)
    lastGiven = some.at(-1)?.update_id ?? lastGiven
    return some
  }

  function setWebhook({ url: target, secret_token: secret = '' }: Record<string, unknown>): true {
    if (typeof target !== 'string' || (target !== '' && !URL.canParse(target)))
      throw new Refused(400, 'Bad Request: bad webhook: invalid URL')
    if (typeof secret !== 'string' || !/^[A-Za-z0-9_-]{0,256}$/.test(secret))
      throw new Refused(400, 'Bad Request: secret token contains unallowed characters')
    webhook = target === '' ? undefined : { url: target, secret }
    poll?.answer(new Refused(409, 'Conflict: terminated by setWebhook request'))
    void deliver()
    return true
  }

  /** One update at a time, the same again until the webhook answers 2xx. */
  async function deliver(): Promise<void> {
    if (delivering) return
    delivering = true
    for (let wait = 50; webhook && updates.length > 0 && !closed; ) {
      const update = updates.find((one) => !out.has(one))
      if (update && (await post(update))) {
        wait = 50
        continue
      }
      await new Promise((resolve) => setTimeout(resolve, wait))
      wait = Math.min(wait * 2, 1000)
    }
    delivering = false
  }

  async function post(update: Update, onOut = () => {}): Promise<boolean> {
    if (!webhook) return false
    const to = webhook
    const call = { isSent: false }
    out.set(update, call)
    const secret = to.secret ? { 'x-telegram-bot-api-secret-token': to.secret } : {}
    const status = await callWebhook(route ?? to.url, {
      body: JSON.stringify(update),
      headers: { 'content-type': 'application/json', ...secret },
      timeoutMs: 10_000,
      onSent() {
        call.isSent = true
        onOut()
      },
    })
    onOut()
    out.delete(update)
    if (status >= 200 && status < 300) {
      updates = updates.filter((one) => one !== update)
      return true
    }
    to.error = status === 0 ? 'Connection refused' : `Wrong response from the webhook: ${status}`
    to.errorDate = Math.floor(Date.now() / 1000)
    return false
  }

  function setCommands({ commands }: Record<string, unknown>): true {
    const all = Array.isArray(commands) ? (commands as { command?: unknown; description?: unknown }[]) : []
    for (const { command, description } of all) {
      if (typeof command !== 'string' || !/^[a-z0-9_]{1,32}$/.test(command))
        throw new Refused(400, 'Bad Request: BOT_COMMAND_INVALID')
      if (typeof description !== 'string' || description.length < 1 || description.length > 256)
        throw new Refused(400, 'Bad Request: BOT_COMMAND_DESCRIPTION_INVALID')
    }
    return true
  }

  function chatOf({ chat_id: id, message_thread_id: thread }: Record<string, unknown>) {
    const known = chats.get(Number(id))
    if (!known) throw new Refused(400, 'Bad Request: chat not found')
    if (blocked.has(known.chat.id))
      throw new Refused(
        403,
        known.chat.type === 'private'
          ? 'Forbidden: bot was blocked by the user'
          : 'Forbidden: bot was kicked from the supergroup chat',
      )
    if (thread !== undefined && !known.topics.has(Number(thread)))
      throw new Refused(400, 'Bad Request: message thread not found')
    return known
  }

  function formatted({ text, parse_mode: mode }: Record<string, unknown>): FormattedText {
    if (typeof text !== 'string' || text === '') throw new Refused(400, 'Bad Request: message text is empty')
    if (mode !== undefined && mode !== 'HTML') throw new Refused(400, 'Bad Request: unsupported parse_mode')
    try {
      if (mode === 'HTML' && doubts > 0) {
        doubts--
        throw new CannotParse('Unsupported start tag "tg-time" at byte offset 0')
      }
      const read = mode === 'HTML' ? parseHtml(text) : { text, entities: [] }
      if (read.text.trim() === '') throw new Refused(400, 'Bad Request: message text is empty')
      if (read.text.length > 4096) throw new Refused(400, 'Bad Request: message is too long')
      return read
    } catch (error) {
      if (error instanceof CannotParse) throw new Refused(400, `Bad Request: can't parse entities: ${error.message}`)
      throw error
    }
  }

  function sendMessage(given: Record<string, unknown>): Message {
    return posted(given, { ...formatted(given), link_preview_options: given.link_preview_options })
  }

  function posted(given: Record<string, unknown>, content: Partial<Message>): Message {
    const { chat, messages } = chatOf(given)
    const said = given.reply_parameters ?? {}
    // In a form even an object is text.
    const reply = (typeof said === 'string' ? JSON.parse(said) : said) as {
      message_id?: number
      allow_sending_without_reply?: boolean
    }
    const answered = reply.message_id === undefined ? undefined : messages.get(reply.message_id)
    if (reply.message_id !== undefined && !answered && reply.allow_sending_without_reply !== true)
      throw new Refused(400, 'Bad Request: message to be replied not found')
    const message: Message = {
      message_id: ++lastId,
      date: Math.floor(Date.now() / 1000),
      chat,
      from: bot,
      ...content,
      ...(given.message_thread_id !== undefined && {
        message_thread_id: Number(given.message_thread_id),
        is_topic_message: true,
      }),
      ...(answered && { reply_to_message: answered }),
    }
    messages.set(message.message_id, message)
    return message
  }

  function editMessage(given: Record<string, unknown>): Message {
    const { messages } = chatOf(given)
    const message = messages.get(Number(given.message_id))
    if (!message) throw new Refused(400, 'Bad Request: message to edit not found')
    if (message.from?.id !== bot.id) throw new Refused(400, "Bad Request: message can't be edited")
    const text = formatted(given)
    if (text.text === message.text && JSON.stringify(text.entities) === JSON.stringify(message.entities))
      throw new Refused(
        400,
        'Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message',
      )
    Object.assign(message, text, { edit_date: Math.floor(Date.now() / 1000) })
    return message
  }

  /** In a group a bot hears what is said to it: commands, its name, answers to it. */
  function reaches(message: Message): boolean {
    if (message.chat.type === 'private') return true
    const text = message.text ?? ''
    const named = mentionsIn({ text, entities: [] }).some((name) => name.toLowerCase() === `@${bot.username}`)
    return named || /^\/\w+/.test(text) || message.reply_to_message?.from?.id === bot.id
  }

  function put(kind: string, message: Message): void {
    const update = { update_id: ++lastUpdate, [kind]: structuredClone(message) }
    if (together) return void together.push(update)
    updates.push(update)
    poll?.answer([])
    if (webhook) void deliver()
  }

  return {
    url,
    port: Number(new URL(url).port),
    token,
    bot,
    calls,
    faults,
    files,

    user(name: string): User {
      const id = ++lastId + 5_000_000
      return { id, is_bot: false, first_name: name, username: name.toLowerCase().replace(/\W/g, '_') }
    },
    direct(user: User): Chat {
      const chat: Chat = { id: user.id, type: 'private' }
      if (!chats.has(chat.id)) chats.set(chat.id, { chat, messages: new Map(), topics: new Set() })
      return chat
    },
    group(title: string): Chat {
      const chat: Chat = { id: -1_000_000_000_000 - ++lastId, type: 'supergroup', title }
      chats.set(chat.id, { chat, messages: new Map(), topics: new Set() })
      return chat
    },
    /** A topic of a group, by the id of its thread. */
    topic(chat: Chat): number {
      const known = chatOf({ chat_id: chat.id })
      known.chat.is_forum = true
      known.topics.add(++lastId)
      return lastId
    },
    /** A person writes; the message is on its way to the bot when this returns, if the bot may hear it. */
    say(from: User, chat: Chat, text: string, { thread, replyTo, as, more }: Saying = {}): Message {
      const { messages } = chats.get(chat.id) ?? {}
      if (!messages) throw new Error('no such chat')
      const answered = replyTo === undefined ? undefined : messages.get(replyTo)
      const entities = entitiesOf(text)
      const message: Message = {
        message_id: ++lastId,
        date: Math.floor(Date.now() / 1000),
        chat,
        // Telegram's own account stands for those who speak as a chat.
        from: as ? { id: 1087968824, is_bot: true, first_name: 'Group', username: 'GroupAnonymousBot' } : from,
        ...(as && { sender_chat: { id: as.id, type: as.type, ...(as.title && { title: as.title }) } }),
        ...(text && { text }),
        ...(entities.length > 0 && { entities }),
        ...(thread !== undefined && { message_thread_id: thread, is_topic_message: true }),
        ...(answered && { reply_to_message: answered }),
        ...more,
      }
      messages.set(message.message_id, message)
      if (reaches(message)) put('message', message)
      return message
    },
    /** A person changes what was said. */
    rewrite(message: Message, text: string): void {
      Object.assign(message, { text, entities: entitiesOf(text), edit_date: Math.floor(Date.now() / 1000) })
      put('edited_message', message)
    },
    /** Any update, as it stands. */
    put(update: Record<string, unknown>): void {
      updates.push({ update_id: ++lastUpdate, ...update })
      poll?.answer([])
      if (webhook) void deliver()
    },
    /** A message comes once more, as after a lost confirmation. */
    repeat(message: Message): void {
      put('message', message)
    },
    /** What the bot has said in a chat, as it reads now. */
    said(chat: Chat): Message[] {
      return [...(chats.get(chat.id)?.messages.values() ?? [])].filter(({ from }) => from?.id === bot.id)
    },
    remove(chat: Chat, message: number): void {
      chats.get(chat.id)?.messages.delete(message)
    },
    /** Updates that the bot has not confirmed. */
    pending: () => updates.length,
    /** Something that the bot has not confirmed is with it. */
    delivered: () => updates.some((one) => out.get(one)?.isSent ?? (!webhook && one.update_id <= lastGiven)),
    /**
     * What is said meanwhile is delivered all at once, to a webhook the newest first; resolves when all of it is on its
     * way, as far as that is Telegram's to do.
     */
    async atOnce(say: () => void): Promise<void> {
      together = []
      say()
      const all = together
      together = undefined
      updates.push(...all)
      poll?.answer([])
      if (!webhook) return
      const sent = all.toReversed().map((one) => new Promise<void>((onOut) => void post(one, onOut)))
      void deliver()
      await Promise.all(sent)
    },
    /** Where the address of the webhook leads. */
    leadsTo(url: string): void {
      route = url
    },
    webhookUrl: () => webhook?.url,
    block: (chat: Chat) => blocked.add(chat.id),
    unblock: (chat: Chat) => blocked.delete(chat.id),
    revoke: (is = true) => {
      revoked = is
      poll?.answer(new Refused(401, 'Unauthorized'))
    },
    /** Connections break until it is over. */
    outage(is: boolean): void {
      down = is
      if (is) server.closeAllConnections()
    },
    /** The next `count` messages and edits are refused as too many. */
    flood: (count: number, retryAfter = 1) => {
      floods = { left: count, retryAfter }
    },
    /** The next message is accepted, and nobody hears of it; resolves when it is. */
    swallowAnswer: () =>
      new Promise<void>((resolve) => {
        swallowed = resolve
      }),
    /** The next `count` texts with markup are refused for it. */
    refuseMarkup: (count: number) => {
      doubts = count
    },
    /** Messages and edits that came before the time that a refusal had named. */
    impatientCalls: () => impatient,
    async close(): Promise<void> {
      closed = true
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** What Telegram itself finds in a text. */
function entitiesOf(text: string): Entity[] {
  const found = (type: string, pattern: RegExp) =>
    [...text.matchAll(pattern)].map(({ 0: match, index }) => ({ type, offset: index, length: match.length }))
  return [
    ...found('bot_command', /(?<![\w/])\/[a-zA-Z0-9_]{1,32}(?:@\w{3,32})?/g),
    ...found('mention', /(?<![\w/])@\w{2,32}/g),
  ].sort((a, b) => a.offset - b.offset)
}

/** From the query, a form, or JSON, as the service takes them. */
async function readParameters(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  const body = Buffer.concat(chunks).toString()
  const query = Object.fromEntries(new URL(request.url ?? '/', 'http://x').searchParams)
  if (!body) return query
  const type = request.headers['content-type'] ?? ''
  if (type.startsWith('multipart/form-data')) {
    const form = await new Response(Buffer.concat(chunks), { headers: { 'content-type': type } }).formData()
    return { ...query, ...Object.fromEntries(form) }
  }
  if (type.startsWith('application/json')) return { ...query, ...(JSON.parse(body) as Record<string, unknown>) }
  return { ...query, ...Object.fromEntries(new URLSearchParams(body)) }
}
