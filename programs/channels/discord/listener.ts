import type * as z from 'zod'
import type { Received } from '#core/channels'
import { ClawError } from '#core/errors'
import type { Host } from '../frame/index.ts'
import { CommandAnswer, mayAnswer } from './commands.ts'
import type { Dispatch } from './gateway.ts'
import { Missed } from './missed.ts'
import { Places } from './places.ts'
import { commandToReceived, toReceived } from './receive.ts'
import type { DiscordApi } from './rest.ts'
import type { Session } from './session.ts'
import {
  type Channel,
  channel,
  gone,
  guild,
  type Interaction,
  interaction,
  type Message,
  message,
  otherInteraction,
  ready,
} from './shapes.ts'

/** More than this is left to Discord, which delivers it again. */
const maxWaiting = 5_000
/** A server that is away when the session begins keeps the channel so long from saying that it is connected. */
const guildsMs = 10_000

export interface ListenerOptions {
  api: DiscordApi
  host: Host
  /** The id of the bot. */
  me: string
  session: Session
  /** Discord delivers, and what was missed is taken. */
  connected: () => void
  signal: AbortSignal
}

/** Takes what the Gateway delivers, one after the other; of each only then the session says that it was taken. */
export class Listener {
  /** Rejects when something could not be taken: what is behind it must come again. */
  readonly failed: Promise<never>
  readonly #options: ListenerOptions
  readonly #places: Places
  readonly #fail: (error: unknown) => void
  #tail: Promise<void> = Promise.resolve()
  #waiting = 0
  #broken = false
  #live = false
  #missed: Missed | undefined
  /** Servers of which it is not known yet what was missed there. */
  readonly #awaited = new Set<string>()
  #patience: NodeJS.Timeout | undefined

  constructor(options: ListenerOptions) {
    this.#options = options
    this.#places = new Places(options.api)
    const { promise, reject } = Promise.withResolvers<never>()
    promise.catch(() => {})
    this.failed = promise
    this.#fail = (error) => {
      this.#broken = true
      reject(error)
    }
  }

  put(event: Dispatch): void {
    if (this.#broken) return
    if (this.#waiting >= maxWaiting) {
      this.#fail(new ClawError('unavailable', 'more messages wait than the channel keeps'))
      return
    }
    // Discord waits for three seconds, which what comes before may take.
    const command = event.name === 'INTERACTION_CREATE' ? interaction.safeParse(event.data).data : undefined
    const answer = command && new CommandAnswer(this.#options.api, command)
    this.#then(async () => {
      if (command && answer) await this.#command(command, answer)
      else await this.#take(event)
      this.#options.session.took(event.session, event.sequence)
    })
  }

  /** Discord has answered. */
  beat(): void {
    if (this.#live) this.#options.connected()
  }

  async close(): Promise<void> {
    this.#broken = true
    clearTimeout(this.#patience)
    await this.#tail
  }

  #then(work: () => Promise<void>): void {
    this.#waiting++
    this.#tail = this.#tail.then(async () => {
      try {
        if (!this.#broken) await work()
      } catch (error) {
        this.#fail(error)
      }
      this.#waiting--
    })
  }

  async #take({ name, data }: Dispatch): Promise<void> {
    switch (name) {
      case 'READY':
        return await this.#begin(ready.safeParse(data).data?.guilds ?? [])
      case 'RESUMED':
        return this.#caughtUp()
      case 'GUILD_CREATE': {
        const seen = this.#read(guild, data)
        return seen && (await this.#guild(seen.id, [...seen.channels, ...seen.threads]))
      }
      case 'GUILD_DELETE': {
        // One that is away comes back; of one that the bot was taken out of there is nothing to ask.
        const lost = this.#read(gone, data)
        return lost && !lost.unavailable ? await this.#learned(lost.id) : undefined
      }
      case 'CHANNEL_CREATE':
      case 'THREAD_CREATE': {
        const seen = this.#read(channel, data)
        return seen && this.#places.learn(seen)
      }
      case 'MESSAGE_CREATE': {
        const said = this.#read(message, data)
        return said && (await this.#message(said))
      }
      // One of another type is of no interest, and a command would have been taken as one.
      case 'INTERACTION_CREATE':
        this.#read(otherInteraction, data)
    }
  }

  #read<T>(shape: z.ZodType<T>, data: unknown): T | undefined {
    const { success, data: read } = shape.safeParse(data)
    if (!success) this.#options.host.malformed()
    return read
  }

  /** A new session: what was said since the one before nobody delivers. */
  async #begin(guilds: readonly { id: string }[]): Promise<void> {
    const { api, session, signal } = this.#options
    const { newest } = session
    session.hold()
    this.#awaited.clear()
    if (newest !== undefined) {
      const onTooMany = () => this.#options.host.log.warn('more was missed in a chat than is read')
      const missed = new Missed({ api, newest, take: (said) => this.#message(said), onTooMany, signal })
      for (const chat of session.direct) await missed.ofChannel(chat)
      this.#missed = missed
      for (const { id } of guilds) this.#awaited.add(id)
    }
    if (this.#awaited.size === 0) return await this.#caught()
    // What was before stays remembered, so that whoever is killed asks again for the servers that are still away.
    this.#patience = setTimeout(() => this.#then(async () => this.#caughtUp()), guildsMs)
  }

  async #guild(id: string, channels: readonly Channel[]): Promise<void> {
    for (const one of channels) this.#places.learn(one)
    // A server that the bot has just come into has said nothing to it before.
    if (!this.#awaited.has(id)) return
    await this.#missed?.ofGuild(id, channels, this.#options.session.threadsOf(id))
    await this.#learned(id)
  }

  /** There is nothing more to ask for in this server. */
  async #learned(id: string): Promise<void> {
    if (this.#awaited.delete(id) && this.#awaited.size === 0) await this.#caught()
  }

  async #caught(): Promise<void> {
    clearTimeout(this.#patience)
    this.#missed = undefined
    await this.#options.session.release()
    this.#caughtUp()
  }

  #caughtUp(): void {
    this.#live = true
    this.#options.connected()
  }

  async #message(said: Message): Promise<void> {
    const { me, signal } = this.#options
    const where = said.guild_id ? await this.#places.find(said.channel_id, signal) : undefined
    const received = toReceived(said, me, where)
    if (received) await this.#store(received, said.guild_id)
  }

  async #command(command: Interaction, answer: CommandAnswer): Promise<void> {
    const received = commandToReceived(command)
    const may = received && mayAnswer(command)
    if (may) await this.#store(received, command.guild_id)
    void answer.end(may ? `Heard: /${command.data.name}` : 'I may not write messages here.')
  }

  async #store(received: Received, guild: string | null | undefined): Promise<void> {
    await this.#options.host.received(received)
    await this.#options.session.stored(received, guild)
  }
}
