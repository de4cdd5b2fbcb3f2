/**
 * Slack as its documentation has it (https://docs.slack.dev), for one app in one workspace, on 127.0.0.1: the methods of
 * the Web API that a bot of ours calls, Socket Mode, signed requests of the Events API, and the people and channels on the
 * other side. It is strict where the service is: kinds of tokens, scopes, membership, lengths, rates, tickets of
 * connections, envelopes. What was not acknowledged comes again in seconds, where Slack takes minutes, and for ever unless
 * it is told how often.
 */
import { createHmac, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { buffer as bufferOf } from 'node:stream/consumers'
import { type WebSocket, WebSocketServer } from 'ws'
import { Faults } from './faults.ts'
import { SlackFiles } from './slack-files.ts'
import { Rates } from './slack-rates.ts'
import { type Channel, type Given, type Kind, type Message, Refused, TooMany } from './slack-shapes.ts'
import { SlackStreams } from './slack-streams.ts'
import { callWebhook } from './webhook.ts'

export { shownText } from './slack-shapes.ts'

/** What goes with what a person writes. */
export interface Saying {
  thread?: string
  /** Any other fields of the event. */
  more?: Record<string, unknown>
}

/** A call that the bot made; `answer` is `ok`, the error, or `none`. */
export interface Call {
  method: string
  given: Given
  answer: string
}

interface Pending {
  id: string
  payload: Record<string, unknown>
  tries: number
  sent: number
  /** Whether it is with the app, which has said nothing of it yet. */
  isOut: () => boolean
}

const scopesOf: Record<string, string> = {
  'chat.postMessage': 'chat:write',
  'chat.update': 'chat:write',
  'chat.startStream': 'chat:write',
  'chat.appendStream': 'chat:write',
  'chat.stopStream': 'chat:write',
  'assistant.threads.setStatus': 'chat:write',
  'users.info': 'users:read',
  'files.info': 'files:read',
  'files.getUploadURLExternal': 'files:write',
  'files.completeUploadExternal': 'files:write',
}
/** What puts something into a channel. */
const sharing = new Set(['chat.postMessage', 'chat.startStream', 'files.completeUploadExternal'])
/** What lets an app hear all that is said, and read it later; `message.` and `:history` with these. */
const namesOf: Record<Kind, string> = { im: 'im', channel: 'channels', group: 'groups', mpim: 'mpim' }
const maxConnections = 10
const maxUpdate = 4_000
const maxPost = 40_000

export type SlackService = Awaited<ReturnType<typeof startSlack>>

export interface SlackOptions {
  /** How long an envelope waits for its acknowledgement until it comes again. */
  retryMs?: number
  /** How often it comes in all, also where nobody is there. */
  tries?: number
}

export async function startSlack({ retryMs = 2_000, tries = Number.POSITIVE_INFINITY }: SlackOptions = {}) {
  const tokens = { bot: 'xoxb-1-stand-in', app: 'xapp-1-stand-in' }
  const signingSecret = '8f742231b10e8888abcd99yyyzzz85a5'
  const me = { team: 'T0001', user: 'U0BOT', bot: 'B0BOT', app: 'A0APP' }
  const scopes = new Set([
    ...['chat:write', 'app_mentions:read', 'files:read', 'files:write'],
    ...['im:history', 'channels:history', 'groups:history', 'mpim:history'],
  ])
  /** Which events the app is subscribed to. */
  const subscribed = new Set([...['app_mention', 'message.im', 'message.channels', 'message.groups', 'message.mpim']])
  const calls: Call[] = []
  /** What people are called who have a name. */
  const people = new Map<string, string>()
  const channels = new Map<string, Channel>()
  const tickets = new Set<string>()
  const sockets = new Set<WebSocket>()
  const pending = new Map<string, Pending>()
  const statuses: { channel: string; thread: string; status: string }[] = []
  const edits = new Map<string, number>()
  const unfurled: Message[] = []
  const state = {
    out: false,
    refuse: '',
    opens: Number.POSITIVE_INFINITY,
    badAcks: 0,
  }
  const rates = new Rates()
  const workspace = { me, channelOf, nextTs, spend: (method: string, { id }: Channel) => rates.spend(method, id) }
  const streams = new SlackStreams(workspace, unfurled)
  const files = new SlackFiles(workspace, () => address)
  const { spend } = workspace
  /** Microseconds. */
  let lastTs = 0
  /** Envelopes that were not acknowledged as often as they came. */
  let givenUp = 0
  let lastId = 100
  let turn = 0
  let swallow: (() => void) | undefined
  let requestUrl: string | undefined
  /** What is said together, until all of it is. */
  let together: Pending[] | undefined

  const faults = new Faults()
  const server = createServer(
    faults.around((request, response) => {
      if (state.out) return void request.socket.destroy()
      serve(request, response).catch(() => response.destroy())
    }),
  )
  const upgrades = new WebSocketServer({ noServer: true })
  server.on('upgrade', (request, socket, head) => {
    if (faults.refuses(socket)) return
    const ticket = new URL(request.url ?? '/', 'http://slack').searchParams.get('ticket') ?? ''
    // A ticket opens one connection.
    if (state.out || !tickets.delete(ticket)) return void socket.destroy()
    upgrades.handleUpgrade(request, socket, head, open)
  })
  const address = await faults.listen(server)
  const retrying = setInterval(deliverAll, 250)

  function open(socket: WebSocket): void {
    if (sockets.size >= maxConnections) {
      socket.send(JSON.stringify({ type: 'disconnect', reason: 'too_many_websockets', debug_info: { host: 'here' } }))
      return void socket.close()
    }
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    socket.on('message', (data: Buffer) => {
      try {
        const { envelope_id: id } = JSON.parse(data.toString()) as { envelope_id: string }
        // Slack hears of an envelope once, and on the connection that it went by.
        if (!pending.delete(id)) state.badAcks++
      } catch {
        state.badAcks++
      }
    })
    const hello = { type: 'hello', num_connections: sockets.size, connection_info: { app_id: me.app } }
    socket.send(JSON.stringify({ ...hello, debug_info: { host: 'here', approximate_connection_time: 18060 } }))
    for (const one of pending.values()) one.sent = 0
    deliverAll()
  }

  function deliverAll(): void {
    for (const one of pending.values()) {
      if (Date.now() - one.sent <= retryMs) continue
      if (one.tries < tries) deliver(one)
      else if (pending.delete(one.id)) givenUp++
    }
  }

  /** To one of the connections, whichever it is, or to the address of the app. */
  function deliver(one: Pending, onSent = () => {}): void {
    const retry = one.tries++
    one.sent = Date.now()
    if (state.out) return void onSent()
    if (requestUrl !== undefined) {
      let isOut = false
      one.isOut = () => isOut
      const out = () => {
        isOut = true
        onSent()
      }
      return void post(requestUrl, one.payload, { retry, onSent: out }).then((status) => {
        isOut = false
        onSent()
        if (status === 200) pending.delete(one.id)
      })
    }
    const all = [...sockets]
    const socket = all[turn++ % Math.max(all.length, 1)]
    if (!socket) return void onSent()
    one.isOut = () => socket.readyState === socket.OPEN && socket.bufferedAmount === 0
    socket.send(
      JSON.stringify({
        envelope_id: one.id,
        type: 'events_api',
        accepts_response_payload: false,
        retry_attempt: retry,
        retry_reason: retry > 0 ? 'timeout' : '',
        payload: one.payload,
      }),
      onSent,
    )
  }

  function sign(body: string, at = Math.floor(Date.now() / 1000)): Given {
    const mac = createHmac('sha256', signingSecret).update(`v0:${at}:${body}`).digest('hex')
    return {
      'x-slack-request-timestamp': String(at),
      'x-slack-signature': `v0=${mac}`,
      'content-type': 'application/json',
    }
  }

  async function post(url: string, payload: object, { retry = 0, onSent = () => {} } = {}): Promise<number> {
    const body = JSON.stringify(payload)
    const again = retry > 0 ? { 'x-slack-retry-num': String(retry), 'x-slack-retry-reason': 'http_timeout' } : {}
    return await callWebhook(url, { body, headers: { ...sign(body), ...again }, timeoutMs: 3_000, onSent })
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, kind = '', id = ''] = (request.url ?? '').split('/')
    if (['files-pri', 'upload', 'signin'].includes(kind)) {
      calls.push({ method: kind, given: { id }, answer: 'file' })
      const mayRead = request.headers.authorization === `Bearer ${tokens.bot}` && scopes.has('files:read')
      return await files.serve(request, response, mayRead)
    }
    const given = await readForm(request)
    const method = new URL(request.url ?? '/', 'http://slack').pathname.replace(/^\/api\//, '')
    const call: Call = { method, given, answer: 'none' }
    calls.push(call)
    const headers = { 'content-type': 'application/json; charset=utf-8', 'x-oauth-scopes': [...scopes].join(',') }
    try {
      const answer = perform(method, given, request.headers.authorization ?? '')
      call.answer = 'ok'
      if (swallow && sharing.has(method)) {
        swallow()
        swallow = undefined
        return
      }
      response.writeHead(200, headers).end(JSON.stringify({ ok: true, ...answer }))
    } catch (error) {
      if (error instanceof TooMany) {
        call.answer = 'ratelimited'
        const refused = JSON.stringify({ ok: false, error: 'ratelimited' })
        return void response.writeHead(429, { ...headers, 'retry-after': String(rates.retryAfter) }).end(refused)
      }
      if (!(error instanceof Refused)) throw error
      call.answer = error.message
      response.writeHead(200, headers).end(JSON.stringify({ ok: false, error: error.message, ...error.more }))
    }
  }

  function perform(method: string, given: Given, authorization: string): object {
    const token = authorization.replace(/^Bearer /, '')
    if (!token) throw new Refused('not_authed')
    const isApp = method === 'apps.connections.open'
    if (token !== tokens.bot && token !== tokens.app) throw new Refused('invalid_auth')
    if (state.refuse) throw new Refused(state.refuse)
    if ((token === tokens.app) !== isApp) throw new Refused('not_allowed_token_type')
    const needed = scopesOf[method]
    if (needed && !scopes.has(needed)) throw new Refused('missing_scope', { needed, provided: [...scopes].join(',') })
    switch (method) {
      case 'auth.test':
        return {
          url: 'https://stand-in.slack.com/',
          team: 'Stand-in',
          user: 'claw',
          team_id: me.team,
          user_id: me.user,
          bot_id: me.bot,
        }
      case 'apps.connections.open': {
        rates.heed(method)
        if (state.opens-- <= 0) {
          state.opens = Number.POSITIVE_INFINITY
          rates.refuse(method)
        }
        const ticket = randomUUID()
        tickets.add(ticket)
        return { url: `ws://${address}/link/?ticket=${ticket}&app_id=${me.app}` }
      }
      case 'users.info':
        return userInfo(given)
      case 'chat.postMessage':
        return postMessage(given)
      case 'chat.update':
        return update(given)
      case 'chat.startStream':
        return streams.start(given)
      case 'chat.appendStream':
        return streams.append(given)
      case 'chat.stopStream':
        return streams.stop(given)
      case 'files.info':
        return files.info(given)
      case 'files.getUploadURLExternal':
        return files.uploadUrl(given)
      case 'files.completeUploadExternal':
        return files.complete(given)
      case 'conversations.history':
      case 'conversations.replies':
        return readHistory(method, given)
      case 'assistant.threads.setStatus':
        return setStatus(given)
      default:
        throw new Refused('unknown_method', { req_method: method })
    }
  }

  function channelOf(given: Given, key = 'channel'): Channel {
    const channel = channels.get(given[key] ?? '')
    if (!channel) throw new Refused('channel_not_found')
    if (!channel.members.has(me.user)) throw new Refused('not_in_channel')
    if (channel.archived) throw new Refused('is_archived')
    return channel
  }

  function postMessage(given: Given): object {
    const channel = channelOf(given)
    spend('chat.postMessage', channel)
    const { text = '', thread_ts: thread } = given
    if (!text.trim()) throw new Refused('no_text')
    if (text.length > maxPost) throw new Refused('msg_too_long')
    if (thread !== undefined && !channel.messages.some(({ ts }) => ts === thread)) throw new Refused('thread_not_found')
    const message: Message = {
      ...{ ts: nextTs(), user: me.user, bot_id: me.bot, text },
      ...(thread !== undefined && { thread_ts: thread }),
      mrkdwn: given.mrkdwn !== 'false',
      ...(given.metadata !== undefined && { metadata: metadataOf(given.metadata) }),
    }
    channel.messages.push(message)
    if (/https?:/.test(text) && (given.unfurl_links !== 'false' || given.unfurl_media !== 'false'))
      unfurled.push(message)
    return { channel: channel.id, ts: message.ts, message }
  }

  /** A chat without its threads, the newest first; a thread from its beginning on. */
  function readHistory(method: string, given: Given): object {
    const channel = channelOf(given)
    const needed = `${namesOf[channel.kind]}:history`
    if (!scopes.has(needed)) throw new Refused('missing_scope', { needed, provided: [...scopes].join(',') })
    spend(method, channel)
    const { ts, include_all_metadata: all, limit = '100', cursor = '0', oldest = '0' } = given
    if (!(Number(limit) >= 1 && Number(limit) <= 999)) throw new Refused('invalid_limit')
    if (method === 'conversations.replies' && !channel.messages.some((one) => one.ts === ts)) {
      throw new Refused('thread_not_found')
    }
    if (!/^\d+(?:\.\d+)?$/.test(oldest)) throw new Refused('invalid_ts_oldest')
    const isIn = (one: Message) => Number(one.ts) > Number(oldest)
    const answered = new Set(channel.messages.map(({ thread_ts: thread }) => thread))
    // What a thread begins with is shown whenever it is asked for.
    const messages =
      method === 'conversations.history'
        ? channel.messages.filter((one) => isIn(one) && (one.thread_ts ?? one.ts) === one.ts).toReversed()
        : channel.messages.filter((one) => one.ts === ts || (one.thread_ts === ts && isIn(one)))
    const end = Number(cursor) + Number(limit)
    return {
      messages: messages.slice(Number(cursor), end).map(({ metadata, ...rest }) => ({
        ...{ type: 'message', ...rest },
        ...(all === 'true' && metadata && { metadata }),
        ...(answered.has(rest.ts) && { thread_ts: rest.ts }),
      })),
      has_more: end < messages.length,
      response_metadata: { next_cursor: end < messages.length ? String(end) : '' },
    }
  }

  function update(given: Given): object {
    const channel = channelOf(given)
    spend('chat.update', channel)
    const message = channel.messages.find(({ ts }) => ts === given.ts)
    if (!message) throw new Refused('message_not_found')
    if (message.user !== me.user) throw new Refused('cant_update_message')
    if (message.streaming_state === 'in_progress') throw new Refused('streaming_state_conflict')
    const { text = '', blocks } = given
    if (!text.trim()) throw new Refused('no_text')
    if (text.length > maxUpdate) throw new Refused('msg_too_long')
    if (blocks !== undefined && blocks !== '[]') throw new Refused('invalid_blocks')
    if (blocks !== undefined) delete message.blocks
    Object.assign(message, { text, edited: { user: me.user, ts: nextTs() } })
    if (given.metadata !== undefined) message.metadata = metadataOf(given.metadata)
    edits.set(channel.id, (edits.get(channel.id) ?? 0) + 1)
    return { channel: channel.id, ts: message.ts, text }
  }

  function userInfo({ user: id = '' }: Given): object {
    const name = people.get(id)
    if (name === undefined) throw new Refused('user_not_found')
    return { user: { id, team_id: me.team, name: name.toLowerCase(), profile: { display_name: name } } }
  }

  function setStatus(given: Given): object {
    const channel = channelOf(given, 'channel_id')
    const { thread_ts: thread = '', status } = given
    if (!channel.messages.some(({ ts }) => ts === thread)) throw new Refused('invalid_thread_ts')
    if (status === undefined) throw new Refused('invalid_arguments')
    statuses.push({ channel: channel.id, thread, status })
    return {}
  }

  function nextTs(): string {
    lastTs = Math.max(lastTs + 1, Date.now() * 1000)
    return tsAt(lastTs)
  }

  /** An event on its way to the app, in its own envelope, each time with the same id of the event. */
  function put(event: Record<string, unknown>, eventId = `Ev${++lastId}`): void {
    const one: Pending = { id: randomUUID(), payload: outer(event, eventId), tries: 0, sent: 0, isOut: () => false }
    if (together) return void together.push(one)
    pending.set(one.id, one)
    deliver(one)
  }

  function outer(event: Record<string, unknown>, eventId: string): Record<string, unknown> {
    return {
      ...{ token: 'legacy', team_id: me.team, api_app_id: me.app, type: 'event_callback', event_id: eventId, event },
      event_time: Math.floor(lastTs / 1_000_000),
      authorizations: [{ enterprise_id: null, team_id: me.team, user_id: me.user, is_bot: true }],
    }
  }

  const history: { event: Record<string, unknown>; id: string }[] = []
  return {
    env: { SLACK_BOT_TOKEN: tokens.bot, SLACK_APP_TOKEN: tokens.app, SLACK_API_URL: `http://${address}/api/` },
    /** Where the app is called instead of asking. */
    eventsEnv: {
      SLACK_BOT_TOKEN: tokens.bot,
      SLACK_SIGNING_SECRET: signingSecret,
      SLACK_API_URL: `http://${address}/api/`,
    },
    signingSecret,
    me,
    calls,
    faults,
    statuses,
    scopes,
    subscribed,
    people,
    /** Messages of the bot of which a page was shown. */
    unfurled,
    /** The direct chat of a person, who is made up with it. */
    direct(n: number): string {
      const id = `D${1000 + n}`
      if (!channels.has(id)) make(id, 'im')
      return id
    },
    channel(n: number): string {
      const id = `C${1000 + n}`
      if (!channels.has(id)) make(id, 'channel')
      return id
    },
    privateChannel(n: number): string {
      const id = `G${1000 + n}`
      if (!channels.has(id)) make(id, 'group')
      return id
    },
    /** A person writes; Slack delivers it as often as it is subscribed to: as a message, and as a mention. */
    say(user: string, channel: string, text: string, { thread, more = {} }: Saying = {}): Message {
      const known = channels.get(channel)
      if (!known) throw new Error('no such channel')
      const message: Message = {
        ts: nextTs(),
        user,
        team: me.team,
        text,
        ...(thread && { thread_ts: thread }),
        ...more,
      }
      known.messages.push(message)
      const parent = known.messages.find(({ ts }) => ts === thread)?.user
      const event = { ...message, channel, event_ts: message.ts, ...(parent && { parent_user_id: parent }) }
      const asMessage = { ...event, type: 'message', channel_type: known.kind }
      const asMention = { ...event, type: 'app_mention' }
      const isMention = known.kind !== 'im' && text.includes(`<@${me.user}>`) && subscribed.has('app_mention')
      const events = [
        ...(subscribed.has(`message.${namesOf[known.kind]}`) ? [asMessage] : []),
        ...(isMention ? [asMention] : []),
      ]
      for (const one of events) {
        const id = `Ev${++lastId}`
        history.push({ event: one, id })
        put(one, id)
      }
      return message
    },
    put,
    /** What is said meanwhile is delivered all at once, the newest first; resolves when all of it is on its way. */
    async atOnce(say: () => void): Promise<void> {
      together = []
      say()
      const all = together.toReversed()
      together = undefined
      for (const one of all) pending.set(one.id, one)
      const sent = all.map((one) => new Promise<void>((onSent) => deliver(one, onSent)))
      await Promise.all(sent)
    },
    file: (name: string, bytes: Buffer, at: { elsewhere?: string } = {}) => files.keep(name, bytes, at),
    forgetFiles: () => files.forget(),
    bytesOf: (id: string) => files.bytesOf(id),
    /** All that was said comes once more, the newest first. */
    again(): void {
      for (const { event, id } of history.toReversed()) put(event, id)
    },
    /** A frame of any form to each connection. */
    frame(text: string | Buffer): void {
      for (const socket of sockets) socket.send(text)
    },
    /** Slack asks for another connection in the place of the oldest, or of each, and closes it soon. */
    renew(all = false, reason = 'refresh_requested'): void {
      for (const socket of [...sockets].slice(0, all ? undefined : 1)) {
        socket.send(JSON.stringify({ type: 'disconnect', reason, debug_info: { host: 'here' } }))
        sockets.delete(socket)
      }
    },
    /** Connections break. */
    drop(): void {
      for (const socket of sockets) socket.terminate()
    },
    connections: () => sockets.size,
    pending: () => pending.size,
    /** Something that was not acknowledged is with the app. */
    delivered: () => pending.values().some(({ isOut }) => isOut()),
    /** Envelopes that come no more. */
    givenUp: () => givenUp,
    /** Acknowledgements of nothing, which Slack does not know what to do with. */
    badAcks: () => state.badAcks,
    /** Slack was told of the address long ago. */
    callsAt: (url: string) => {
      requestUrl = url
    },
    /** The app is called here from now on, if it answers the challenge. */
    async callAt(url: string): Promise<boolean> {
      const body = JSON.stringify({ token: 'legacy', type: 'url_verification', challenge: 'c-1' })
      const response = await fetch(url, { method: 'POST', body, headers: sign(body) })
      if (!response.ok || (await response.text()) !== 'c-1') return false
      requestUrl = url
      return true
    },
    sign,
    outer,
    said: (channel: string) => (channels.get(channel)?.messages ?? []).filter(({ user }) => user === me.user),
    edits: (channel: string) => edits.get(channel) ?? 0,
    appends: (channel: string) => streams.appends(channel),
    refuseStreams: (error: string) => streams.refuse(error),
    endStreams: ({ pressed = false } = {}) => streams.end(channels.values(), pressed),
    remove(channel: string, ts: string): void {
      const known = channels.get(channel)
      if (known) known.messages = known.messages.filter((one) => one.ts !== ts)
    },
    archive(channel: string): void {
      const known = channels.get(channel)
      if (known) known.archived = true
    },
    kick(channel: string): void {
      channels.get(channel)?.members.delete(me.user)
    },
    /** All tokens are answered with this error; none is with an empty one. */
    refuse(error: string): void {
      state.refuse = error
    },
    /** So many connections are still to be had; the next is refused for a second. */
    spareConnections(count: number): void {
      state.opens = count
    },
    flood: (count: number) => rates.flood(count),
    impatientCalls: () => rates.impatient,
    swallowAnswer: () =>
      new Promise<void>((resolve) => {
        swallow = resolve
      }),
    outage(is: boolean): void {
      state.out = is
      if (!is) return
      for (const socket of sockets) socket.terminate()
      server.closeAllConnections()
    },
    async close(): Promise<void> {
      clearInterval(retrying)
      for (const socket of upgrades.clients) socket.terminate()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }

  function make(id: string, kind: Channel['kind']): void {
    const members = new Set([me.user])
    channels.set(id, { id, kind, members, archived: false, messages: [] })
  }
}

/** A time in microseconds as Slack names a message by it. */
function tsAt(microseconds: number): string {
  return `${Math.floor(microseconds / 1_000_000)}.${String(microseconds % 1_000_000).padStart(6, '0')}`
}

/** https://docs.slack.dev/messaging/message-metadata */
function metadataOf(text: string): NonNullable<Message['metadata']> {
  const { event_type: type, event_payload: payload } = JSON.parse(text) as { event_type: string; event_payload: object }
  if (!/^\w{1,255}$/.test(type) || typeof payload !== 'object') throw new Refused('invalid_metadata_format')
  if (text.length > 16_000) throw new Refused('metadata_too_large')
  return { event_type: type, event_payload: payload }
}

async function readForm(request: IncomingMessage): Promise<Given> {
  return Object.fromEntries(new URLSearchParams((await bufferOf(request)).toString()))
}
