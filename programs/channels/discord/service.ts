import { createHash } from 'node:crypto'
import * as z from 'zod'
import {
  type ChatService,
  type HandedFile,
  type Host,
  type Memory,
  type Place,
  type PostOptions,
  type Rendered,
  ServiceError,
} from '../frame/index.ts'
import { discordText } from '../text/index.ts'
import { commands } from './commands.ts'
import { openRef } from './files.ts'
import { followGateway } from './gateway.ts'
import { Listener } from './listener.ts'
import { isSnowflake } from './receive.ts'
import { ofPost } from './refusals.ts'
import { DiscordApi } from './rest.ts'
import { Session } from './session.ts'
import type { Variables } from './settings.ts'
import { snowflake } from './shapes.ts'

/** Nobody is called, and no page is shown. */
const quiet = { allowed_mentions: { parse: [] }, flags: 1 << 2 }
const answer = z.object({ id: snowflake })
const posted = z.object({ id: snowflake, content: z.string() })
const self = z.object({ id: snowflake, username: z.string() })

/** One bot of Discord: told of messages by the Gateway, saying its own over HTTP. */
export class Discord implements ChatService {
  readonly format = discordText
  /** Five messages in five seconds of a channel; edits have as many of their own. */
  readonly paceMs = 1100
  /** Discord takes the sign away after ten seconds. */
  readonly typingMs = 9000
  readonly #api: DiscordApi
  readonly #token: string
  readonly #cdn: string
  #session: Session | undefined
  #registered = false

  constructor(variables: Variables) {
    this.#api = new DiscordApi(variables)
    this.#token = variables.DISCORD_BOT_TOKEN
    this.#cdn = new URL(variables.DISCORD_CDN_URL).origin
  }

  async connect(host: Host, signal: AbortSignal, memory: Memory): Promise<void> {
    const me = self.parse(await this.#api.get('/users/@me', { signal }))
    const app = answer.parse(await this.#api.get('/applications/@me', { signal }))
    if (!this.#registered) await this.#api.put(`/applications/${app.id}/commands`, { body: commands, signal })
    this.#registered = true
    const connected = () =>
      host.health({ state: 'Connected', reason: 'Connected', message: `Discord answers ${me.username}.` })
    this.#session ??= await Session.recall(memory, () => {
      if (!signal.aborted) host.log.warn('session not remembered')
    })
    const session = this.#session
    const stop = new AbortController()
    const listener = new Listener({
      ...{ api: this.#api, host, me: me.id, session, connected },
      signal: AbortSignal.any([signal, stop.signal]),
    })
    try {
      await Promise.race([
        listener.failed,
        followGateway({
          ...{ api: this.#api, token: this.#token, session },
          onDispatch: (event) => listener.put(event),
          onHeartbeat: () => listener.beat(),
          signal: AbortSignal.any([signal, stop.signal]),
        }),
      ])
    } finally {
      stop.abort()
      await listener.close()
      session.abandon()
    }
  }

  async post(place: Place, text: Rendered, { replyTo, key, plain, signal }: PostOptions): Promise<string> {
    const body = {
      ...quiet,
      ...once(key),
      ...answering(replyTo),
      content: plain ? text.plain : text.text,
    }
    try {
      const there = posted.parse(await this.#api.post(`/channels/${channelOf(place)}/messages`, { body, signal }))
      // It stands there from before, and may have shown less.
      if (there.content.trim() !== body.content.trim()) await this.edit(place, there.id, text, { plain, signal })
      return there.id
    } catch (error) {
      throw ofPost(error)
    }
  }

  async edit(
    place: Place,
    message: string,
    text: Rendered,
    { plain, signal }: Pick<PostOptions, 'plain' | 'signal'>,
  ): Promise<void> {
    if (!isSnowflake(message)) throw new ServiceError('message', 'MessageGone', 'This is no id of a message.')
    const body = { ...quiet, content: plain ? text.plain : text.text }
    await this.#api.patch(`/channels/${channelOf(place)}/messages/${message}`, { body, signal })
  }

  async download(ref: string, { signal }: { signal: AbortSignal }): Promise<ReadableStream<Uint8Array>> {
    return await openRef(this.#api, this.#cdn, ref, signal)
  }

  async sendFile(
    place: Place,
    { name, type, bytes }: HandedFile,
    { replyTo, key, signal }: Pick<PostOptions, 'replyTo' | 'key' | 'signal'>,
  ): Promise<string> {
    const body = { ...quiet, ...once(key), ...answering(replyTo), attachments: [{ id: 0, filename: name }] }
    const files = [{ name, data: bytes, contentType: type }]
    try {
      return answer.parse(await this.#api.post(`/channels/${channelOf(place)}/messages`, { body, files, signal })).id
    } catch (error) {
      throw ofPost(error)
    }
  }

  async typing(place: Place, { signal }: { signal: AbortSignal }): Promise<void> {
    await this.#api.post(`/channels/${channelOf(place)}/typing`, { signal })
  }
}

/** Whoever says it again within minutes is given the message that there is. */
function once(key: string) {
  return { nonce: createHash('sha256').update(key).digest('base64url').slice(0, 25), enforce_nonce: true }
}

function answering(replyTo: string | undefined) {
  if (replyTo === undefined || !isSnowflake(replyTo)) return {}
  return { message_reference: { message_id: replyTo, fail_if_not_exists: false } }
}

/** A thread is a channel of its own. It becomes part of an address. */
function channelOf({ chat, thread }: Place): string {
  const id = thread ?? chat
  if (!isSnowflake(id)) throw new ServiceError('never', 'ChatGone', 'This is no id of a channel.')
  return id
}
