/**
 * Discord's HTTP API as its documentation has it (https://docs.discord.com/developers), for one bot, on 127.0.0.1, and
 * the people, servers, channels and threads on the other side. It is strict where the service is: tokens, forms, lengths,
 * rate limits of each route and of all with their headers, nonces, permissions.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { json } from 'node:stream/consumers'
import { Cdn, type DiscordAttachment, type Form, readForm } from './discord-files.ts'
import { startGateway } from './discord-gateway.ts'
import { Faults } from './faults.ts'

export interface DiscordUser {
  id: string
  username: string
  global_name: string | null
  bot?: boolean
}

export interface DiscordChannel {
  id: string
  type: number
  guild_id?: string
  parent_id?: string
  last_message_id: string | null
}

export interface DiscordMessage {
  id: string
  channel_id: string
  author: DiscordUser
  content: string
  timestamp: string
  type: number
  mentions: DiscordUser[]
  attachments: DiscordAttachment[]
  flags?: number
  nonce?: string
  edited_timestamp?: string
  message_reference?: { type?: number; message_id?: string }
  referenced_message?: DiscordMessage | null
  [other: string]: unknown
}

/** What is wrong with a call, as the service answers it. */
class Refused extends Error {
  readonly status: number
  readonly code: number
  readonly more: object

  constructor(status: number, code: number, message: string, more: object = {}) {
    super(message)
    this.status = status
    this.code = code
    this.more = more
  }
}

const badForm = (field: string, code: string, message: string) =>
  new Refused(400, 50035, 'Invalid Form Body', { errors: { [field]: { _errors: [{ code, message }] } } })

const epoch = 1_420_070_400_000
const messagesEach5s = 5
const callsEachSecond = 50
const suppressEmbeds = 1 << 2
const sendFlags = suppressEmbeds | (1 << 12)
const nonceMs = 180_000
/** Of a file, where nobody has paid for more. */
const maxFileBytes = 10 * 1024 * 1024

export type DiscordService = Awaited<ReturnType<typeof startDiscord>>

export async function startDiscord({ heartbeatMs = 250 } = {}) {
  const token = 'MTIzNDU2Nzg5MDEyMzQ1Njc4.Gabcde.stand-in_of_a_token_of_a_bot'
  let increment = 0n
  const snowflake = (at = Date.now()) => ((BigInt(at - epoch) << 22n) | (increment++ & 0xfffn)).toString()
  const bot: DiscordUser = { id: snowflake(), username: 'claw', global_name: null, bot: true }
  const application = { id: snowflake(), name: 'claw', flags: 1 << 18 }
  const channels = new Map<string, { channel: DiscordChannel; messages: Map<string, DiscordMessage> }>()
  const guilds = new Set<string>()
  /** Servers that Discord cannot reach, and threads that nobody wrote in for a while. */
  const away = new Set<string>()
  const archived = new Set<string>()
  const gone = new Set<string>()
  const typing = new Map<string, number>()
  const edits = new Map<string, number>()
  const calls: { method: string; path: string; body: unknown; status: number }[] = []
  const buckets = new Map<string, { used: number; until: number }>()
  const notBefore = new Map<string, number>()
  const interactions = new Map<string, { id: string; answered: boolean; content: string }>()
  const state = {
    ...{ down: false, refused: false, floods: 0, impatient: 0, limited: 0, intents: 1 << 15, starts: 1000 },
    commands: [] as { name: string }[],
  }
  let swallow: (() => void) | undefined

  const faults = new Faults()
  const server = createServer(
    faults.around((request, response) => {
      if (state.down) return void request.socket.destroy()
      serve(request, response).catch(() => response.destroy())
    }),
  )
  const cdn = new Cdn(() => url)
  const gateway = startGateway({
    heartbeatMs,
    knows: (given) => given === token && !state.refused,
    privileged: () => state.intents,
    url: () => url.replace('http', 'ws'),
    welcome: () => [
      {
        name: 'READY',
        data: {
          ...{ v: 10, user: bot, private_channels: [], application, shard: [0, 1] },
          guilds: [...guilds].map((id) => ({ id, unavailable: true })),
        },
      },
      ...[...guilds].filter((id) => !away.has(id)).map((id) => ({ name: 'GUILD_CREATE', data: guildOf(id) })),
    ],
  })
  server.on('upgrade', (request, socket, head) => {
    if (faults.refuses(socket)) return
    if (state.down) socket.destroy()
    else gateway.upgrade(request, socket, head)
  })
  const url = `http://${await faults.listen(server)}`

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (cdn.serve(request, response)) return
    const { method = '' } = request
    const { pathname, searchParams } = new URL(request.url ?? '/', url)
    const path = pathname.replace(/^\/api\/v10/, '')
    const form = await formOf(request)
    const { body } = form
    const call = { method, path, body, status: 0 }
    calls.push(call)
    const headers: Record<string, string> = { 'content-type': 'application/json' }
    let answer: unknown
    try {
      if (path === pathname) throw new Refused(404, 0, '404: Not Found')
      if (!/^DiscordBot \(\S+, \S+\)/.test(request.headers['user-agent'] ?? ''))
        throw new Refused(403, 40333, 'internal network error')
      const isOpen = path.startsWith('/interactions/') || path.startsWith('/webhooks/')
      if (!isOpen && (state.refused || request.headers.authorization !== `Bot ${token}`))
        throw new Refused(401, 0, '401: Unauthorized')
      limit(method, path, headers)
      const said = perform(method, path, form, searchParams)
      answer = said
      call.status = said === undefined ? 204 : 200
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      call.status = error.status
      answer = { code: error.code, message: error.message, ...error.more }
    }
    if (swallow && method === 'POST' && path.endsWith('/messages') && call.status === 200) {
      swallow()
      swallow = undefined
      return
    }
    if (answer === undefined) headers['content-type'] = 'text/html; charset=utf-8'
    response.writeHead(call.status, headers).end(answer === undefined ? undefined : JSON.stringify(answer))
  }

  /** https://docs.discord.com/developers/topics/rate-limits */
  function limit(method: string, path: string, headers: Record<string, string>): void {
    const tooMany = (seconds: number, scope: string, global: boolean) => {
      headers['retry-after'] = String(Math.ceil(seconds))
      headers['x-ratelimit-scope'] = scope
      if (global) headers['x-ratelimit-global'] = 'true'
      return new Refused(429, 0, 'You are being rate limited.', { retry_after: seconds, global })
    }
    if (take('global', callsEachSecond, 1_000).over && !path.startsWith('/interactions/')) {
      state.limited++
      throw tooMany(1, 'global', true)
    }
    const [, channel, message] = /^\/channels\/(\d+)\/messages(\/\d+)?$/.exec(path) ?? []
    if (channel === undefined || method === 'GET') return
    if (Date.now() < (notBefore.get(channel) ?? 0)) state.impatient++
    if (state.floods > 0) {
      state.floods--
      notBefore.set(channel, Date.now() + 695)
      headers['x-ratelimit-remaining'] = '0'
      headers['x-ratelimit-reset-after'] = '0.7'
      throw tooMany(0.7, 'user', false)
    }
    const bucket = take(`${method}${message ? 'one' : ''}:${channel}`, messagesEach5s, 5_000)
    const after = Math.max(0, (bucket.until - Date.now()) / 1000)
    headers['x-ratelimit-limit'] = String(messagesEach5s)
    headers['x-ratelimit-remaining'] = String(Math.max(0, messagesEach5s - bucket.used))
    headers['x-ratelimit-reset'] = (bucket.until / 1000).toFixed(3)
    headers['x-ratelimit-reset-after'] = after.toFixed(3)
    headers['x-ratelimit-bucket'] = message ? 'edit-messages' : 'post-messages'
    if (!bucket.over) return
    state.limited++
    throw tooMany(after, 'user', false)
  }

  function take(name: string, most: number, ms: number): { used: number; until: number; over: boolean } {
    const now = Date.now()
    const bucket = buckets.get(name)
    const mine = bucket && bucket.until > now ? bucket : { used: 0, until: now + ms }
    mine.used++
    buckets.set(name, mine)
    return { ...mine, over: mine.used > most }
  }

  function perform(method: string, path: string, form: Form, query: URLSearchParams): unknown {
    const body = (form.body ?? {}) as Record<string, unknown>
    const [, first, id = '', kind, third] = path.split('/')
    switch (`${method} /${first}${kind ? `/${kind}` : ''}${third ? '/+' : ''}`) {
      case 'GET /gateway':
        return {
          ...{ url: url.replace('http', 'ws'), shards: 1 },
          session_start_limit: { total: 1000, remaining: state.starts, reset_after: 14_400_000, max_concurrency: 1 },
        }
      case 'GET /users':
        if (id !== '@me') throw new Refused(404, 10013, 'Unknown User')
        return bot
      case 'GET /applications':
        return application
      case 'PUT /applications/commands':
        return setCommands(body)
      case 'GET /channels':
        return channelOf(id).channel
      case 'GET /channels/messages':
        return history(id, query)
      case 'GET /channels/messages/+':
        return readOne(id, third ?? '')
      case 'POST /channels/messages':
        return post(id, body, form.files)
      case 'PATCH /channels/messages/+':
        return edit(id, third ?? '', body)
      case 'POST /channels/typing':
        channelOf(id)
        typing.set(id, (typing.get(id) ?? 0) + 1)
        return undefined
      case 'POST /interactions/callback':
        throw new Refused(404, 0, '404: Not Found')
      case 'POST /interactions/+':
      case `POST /interactions/${kind}/+`:
        return callback(id, kind ?? '', third, body)
      case `PATCH /webhooks/${kind}/+`:
        return editOriginal(kind ?? '', path, body)
      default:
        throw new Refused(404, 0, '404: Not Found')
    }
  }

  function guildOf(id: string): object {
    const inside = [...channels.values()].map(({ channel }) => channel).filter(({ guild_id: of }) => of === id)
    const threads = inside.filter(({ parent_id: parent }) => parent)
    const listed = threads.filter((one) => !archived.has(one.id))
    return { id, name: 'Team', channels: inside.filter((one) => !threads.includes(one)), threads: listed }
  }

  function channelOf(id: string) {
    const known = channels.get(id)
    if (!known) throw new Refused(404, 10003, 'Unknown Channel')
    if (gone.has(id)) {
      if (known.channel.guild_id) throw new Refused(403, 50001, 'Missing Access')
      throw new Refused(403, 50007, 'Cannot send messages to this user')
    }
    return known
  }

  function contentOf({ content }: Record<string, unknown>): string {
    if (typeof content !== 'string' || content.trim() === '')
      throw new Refused(400, 50006, 'Cannot send an empty message')
    if (content.length > 2000) throw badForm('content', 'BASE_TYPE_BAD_LENGTH', 'Must be 2000 or fewer in length.')
    return content
  }

  function checkMentions({ allowed_mentions: allowed }: Record<string, unknown>): void {
    if (allowed === undefined) return
    const { parse = [], users, roles } = allowed as { parse?: unknown[]; users?: unknown[]; roles?: unknown[] }
    const wrong = parse.find((one) => !['roles', 'users', 'everyone'].includes(String(one)))
    if (wrong !== undefined) throw badForm('allowed_mentions', 'BASE_TYPE_CHOICES', 'Value must be one of these.')
    if ((parse.includes('users') && users?.length) || (parse.includes('roles') && roles?.length))
      throw badForm('allowed_mentions', 'MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE', 'parse and ids are exclusive.')
  }

  function flagsOf({ flags = 0 }: Record<string, unknown>, may: number): number {
    if (typeof flags !== 'number' || (flags & ~may) !== 0)
      throw badForm('flags', 'MESSAGE_FLAGS_INVALID', 'These flags cannot be set.')
    return flags
  }

  /** https://docs.discord.com/developers/reference#uploading-files */
  function attached(channel: string, body: Record<string, unknown>, files: Form['files']): DiscordAttachment[] {
    const named = (body.attachments ?? []) as { id?: unknown; filename?: unknown }[]
    if (files.size > 10 || named.some(({ id }) => !files.has(String(id))))
      throw badForm('attachments', 'ATTACHMENT_NOT_FOUND', 'The file cannot be found')
    return [...files].map(([index, { name, type, bytes }]) => {
      if (bytes.length > maxFileBytes) throw new Refused(413, 40005, 'Request entity too large')
      const { filename = name } = named.find(({ id }) => String(id) === index) ?? {}
      return cdn.keep(channel, snowflake(), String(filename), type, bytes)
    })
  }

  function post(id: string, body: Record<string, unknown>, files: Form['files']): DiscordMessage {
    const { channel, messages } = channelOf(id)
    const attachments = attached(id, body, files)
    const content = attachments.length > 0 && body.content === undefined ? '' : contentOf(body)
    checkMentions(body)
    const flags = flagsOf(body, sendFlags)
    const { nonce, enforce_nonce: enforced } = body
    if (nonce !== undefined && (typeof nonce !== 'string' || nonce.length > 25))
      throw badForm('nonce', 'NONCE_TYPE_TOO_LONG', 'Must be 25 or fewer in length.')
    const same = [...messages.values()].find(
      (one) => nonce !== undefined && one.nonce === nonce && Date.parse(one.timestamp) > Date.now() - nonceMs,
    )
    if (enforced === true && same) return same
    const reference = body.message_reference as { message_id?: string; fail_if_not_exists?: boolean } | undefined
    const answered = messages.get(reference?.message_id ?? '')
    if (reference && !answered && reference.fail_if_not_exists !== false)
      throw badForm('message_reference', 'MESSAGE_REFERENCE_UNKNOWN_MESSAGE', 'Unknown message')
    const message: DiscordMessage = {
      ...write(channel, bot, content),
      ...{ flags, type: answered ? 19 : 0, attachments },
      ...(nonce !== undefined && { nonce }),
      ...(answered && { message_reference: { message_id: answered.id }, referenced_message: answered }),
    }
    messages.set(message.id, message)
    gateway.dispatch('MESSAGE_CREATE', { ...message, ...(channel.guild_id && { guild_id: channel.guild_id }) })
    return message
  }

  function readOne(id: string, which: string): DiscordMessage {
    const message = channelOf(id).messages.get(which)
    if (!message) throw new Refused(404, 10008, 'Unknown Message')
    return { ...message, attachments: message.attachments.map((file) => cdn.refreshed(file)) }
  }

  function edit(id: string, which: string, body: Record<string, unknown>): DiscordMessage {
    const { channel, messages } = channelOf(id)
    const message = messages.get(which)
    if (!message) throw new Refused(404, 10008, 'Unknown Message')
    if (message.author.id !== bot.id) throw new Refused(403, 50005, 'Cannot edit a message authored by another user')
    const content = contentOf(body)
    checkMentions(body)
    flagsOf(body, suppressEmbeds)
    Object.assign(message, { content, edited_timestamp: new Date().toISOString() })
    edits.set(id, (edits.get(id) ?? 0) + 1)
    gateway.dispatch('MESSAGE_UPDATE', { ...message, ...(channel.guild_id && { guild_id: channel.guild_id }) })
    return message
  }

  function history(id: string, query: URLSearchParams): DiscordMessage[] {
    const { messages } = channelOf(id)
    const limit = Number(query.get('limit') ?? 50)
    if (!(limit >= 1 && limit <= 100)) throw badForm('limit', 'NUMBER_TYPE_MAX', 'int value should be 1 to 100.')
    const after = BigInt(query.get('after') ?? 0)
    return [...messages.values()]
      .filter((one) => BigInt(one.id) > after)
      .slice(0, limit)
      .reverse()
  }

  function setCommands(body: unknown): unknown {
    const given = body as { name?: unknown; description?: unknown; type?: unknown }[]
    if (!Array.isArray(given) || given.length > 100) throw badForm('commands', 'LIST_TYPE_CONVERT', 'Must be a list.')
    for (const { name, description } of given) {
      if (typeof name !== 'string' || !/^[-_\p{Ll}\p{N}]{1,32}$/u.test(name))
        throw badForm('name', 'APPLICATION_COMMAND_INVALID_NAME', 'Command name is invalid')
      if (typeof description !== 'string' || description.length < 1 || description.length > 100)
        throw badForm('description', 'BASE_TYPE_BAD_LENGTH', 'Must be between 1 and 100 in length.')
    }
    state.commands = given as { name: string }[]
    return given
  }

  function callback(id: string, secret: string, what: string | undefined, body: Record<string, unknown>): undefined {
    const known = interactions.get(secret)
    if (what !== 'callback' || known?.id !== id) throw new Refused(404, 10062, 'Unknown interaction')
    if (known.answered) throw new Refused(400, 40060, 'Interaction has already been acknowledged.')
    if (body.type !== 4 && body.type !== 5) throw badForm('type', 'BASE_TYPE_CHOICES', 'Value must be one of these.')
    known.answered = true
  }

  function editOriginal(secret: string, path: string, body: Record<string, unknown>): object {
    const known = interactions.get(secret)
    if (!known?.answered || path !== `/webhooks/${application.id}/${secret}/messages/@original`)
      throw new Refused(404, 10015, 'Unknown Webhook')
    known.content = contentOf(body)
    return { id: known.id, content: known.content }
  }

  function write(channel: DiscordChannel, author: DiscordUser, content: string): DiscordMessage {
    const id = snowflake()
    channel.last_message_id = id
    const mentions = [...content.matchAll(/<@!?(\d+)>/g)].map(([, of = '']) => users.get(of))
    return {
      ...{ id, channel_id: channel.id, author, content, type: 0, attachments: [] },
      timestamp: new Date().toISOString().replace('Z', '000+00:00'),
      mentions: mentions.flatMap((one) => one ?? []),
    }
  }
  const users = new Map([[bot.id, bot]])
  const add = (channel: Omit<DiscordChannel, 'last_message_id'>): DiscordChannel => {
    const made = { ...channel, last_message_id: null }
    channels.set(made.id, { channel: made, messages: new Map() })
    return made
  }

  return {
    ...{ url, token, bot, application, calls, faults, gateway },
    env: { DISCORD_BOT_TOKEN: token, DISCORD_API_URL: `${url}/api`, DISCORD_CDN_URL: url },
    /** A file, as it goes with what a person says. */
    file: (channel: { id: string }, name: string, type: string, bytes: Buffer) =>
      cdn.keep(channel.id, snowflake(), name, type, bytes),
    bytesOf: (attachment: DiscordAttachment) => cdn.bytes(attachment),
    forgetFiles: () => cdn.forget(),
    expireFiles: () => cdn.expire(),
    commands: () => state.commands.map(({ name }) => name),

    user(name: string, more: Partial<DiscordUser> = {}): DiscordUser {
      const user = { id: snowflake(), username: name.toLowerCase(), global_name: name, ...more }
      users.set(user.id, user)
      return user
    },
    direct: (id = snowflake()) => add({ id, type: 1 }),
    guild(): string {
      const id = snowflake()
      guilds.add(id)
      return id
    },
    /** Discord cannot reach the server, which hears and says nothing; or it can again. */
    reachable(guild: string, is: boolean): void {
      if (!is) away.add(guild)
      else if (away.delete(guild)) gateway.dispatch('GUILD_CREATE', guildOf(guild))
    },
    /** The bot is taken out of the server. */
    expel(guild: string): void {
      guilds.delete(guild)
      gateway.dispatch('GUILD_DELETE', { id: guild })
    },
    /** Nobody wrote in the thread for as long as it is shown. */
    archive: (thread: DiscordChannel) => archived.add(thread.id),
    channel: (guild: string) => add({ id: snowflake(), type: 0, guild_id: guild }),
    thread: (of: DiscordChannel) =>
      add({ id: snowflake(), type: 11, parent_id: of.id, ...(of.guild_id && { guild_id: of.guild_id }) }),
    /** A person writes; every session is told. */
    say(by: DiscordUser, channel: DiscordChannel, text: string, more: Partial<DiscordMessage> = {}): DiscordMessage {
      const message = { ...write(channel, by, text), ...more }
      channels.get(channel.id)?.messages.set(message.id, message)
      const guild = channel.guild_id && { guild_id: channel.guild_id, member: { roles: [] } }
      gateway.dispatch('MESSAGE_CREATE', { ...message, ...guild })
      return message
    },
    /** A slash command; gives what its sender alone is shown. */
    command(by: DiscordUser, channel: DiscordChannel, name: string, text?: string, permissions = '274877910016') {
      const secret = `aW50ZXJhY3Rpb24_${snowflake()}`
      const known = { id: snowflake(), answered: false, content: '' }
      interactions.set(secret, known)
      gateway.dispatch('INTERACTION_CREATE', {
        ...{ id: known.id, application_id: application.id, type: 2, token: secret, version: 1 },
        ...(channel.guild_id ? { guild_id: channel.guild_id, member: { user: by } } : { user: by }),
        ...{ channel_id: channel.id, channel, app_permissions: permissions },
        data: { id: snowflake(), type: 1, name, ...(text && { options: [{ name: 'text', type: 3, value: text }] }) },
      })
      return known
    },
    said: (channel: { id: string }): DiscordMessage[] =>
      [...(channels.get(channel.id)?.messages.values() ?? [])].filter(({ author }) => author.id === bot.id),
    remove: (channel: DiscordChannel, message: string) => channels.get(channel.id)?.messages.delete(message),
    channelById: (id: string) => channels.get(id)?.channel,
    edits: (id: string) => edits.get(id) ?? 0,
    typing: (id: string) => typing.get(id) ?? 0,
    leave: (id: string) => gone.add(id),
    swallowAnswer: () =>
      new Promise<void>((resolve) => {
        swallow = resolve
      }),
    outage(is: boolean): void {
      state.down = is
      if (!is) return
      server.closeAllConnections()
      gateway.drop()
    },
    flood: (count: number) => {
      state.floods = count
    },
    refuseToken(is: boolean): void {
      state.refused = is
      if (is) gateway.close(4004)
    },
    /** Of the privileged intents, those that are turned on. */
    intents: (is: number) => {
      state.intents = is
    },
    starts: (left: number) => {
      state.starts = left
    },
    impatient: () => state.impatient,
    limited: () => state.limited,
    async close(): Promise<void> {
      state.down = true
      gateway.drop()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

async function formOf(request: IncomingMessage): Promise<Form> {
  if (request.headers['content-type']?.startsWith('multipart/form-data;')) return await readForm(request)
  const hasBody = Number(request.headers['content-length'] ?? 0) > 0
  return { body: hasBody ? await json(request) : undefined, files: new Map() }
}
