import { createHash } from 'node:crypto'
import type { Bus } from '#core/bus'
import { publishSend, type Received, type SendItem } from '#core/channels'
import type { ChannelAddress } from '#core/identity'
import { type AgentRun, type Channel, type ClawInstance, isTerminal } from '#core/kinds'
import { type Informer, keyOf } from '#core/kube'
import { limitsOf } from './chat-files.ts'
import type { FileRoom } from './file-room.ts'
import { type Place, turnOf } from './turn.ts'

/** What of an item says what, without where. */
type Words<T = SendItem> = T extends SendItem ? Omit<T, 'chat' | 'thread'> : never

export interface OutboxOptions {
  bus: Bus
  instances: Informer<ClawInstance>
  room: FileRoom
  signal: AbortSignal
}

/**
 * What the router has channels say. Each returns once it is stored, and saying the same again is saying it once: the
 * bus knows the ids of a day, the channel those of a week.
 */
export class Outbox {
  readonly #bus: Bus
  readonly #instances: Informer<ClawInstance>
  readonly #room: FileRoom
  readonly #signal: AbortSignal

  constructor({ bus, instances, room, signal }: OutboxOptions) {
    this.#bus = bus
    this.#instances = instances
    this.#room = room
    this.#signal = signal
  }

  /** The channel as its instance has it now; undefined where it is no more. */
  channel({ namespace, instance, channel }: ChannelAddress): Channel | undefined {
    const found = this.#instances.get(keyOf({ metadata: { namespace, name: instance } }))
    return found?.spec.channels?.find(({ name }) => name === channel)
  }

  /** Nothing is left for a channel that is no more: a later one of its name would say it. */
  async say({ chat, thread, ...channel }: Place, words: Words): Promise<void> {
    if (!this.channel(channel)) return
    const item = { ...words, chat: { id: chat }, ...(thread !== undefined && { thread }) }
    await publishSend(this.#bus, channel, item, { signal: this.#signal })
  }

  /** Answers one message with a sentence of the platform. */
  async answer(place: Place, message: Received, text: string): Promise<void> {
    const replyTo = message.chat.kind === 'group' && message.message !== undefined && { replyTo: message.message }
    await this.say(place, { type: 'notice', id: `answer-${hash(message.id)}`, text, ...replyTo })
  }

  /** Says where a run was asked for that it begins, so that its text can be shown as it comes. */
  async announce(run: AgentRun): Promise<void> {
    const turn = turnOf(run)
    // Of one that is over the end may have been told already.
    if (!turn || isTerminal(run.status?.phase)) return
    const { place, replyTo, files } = turn
    const about = { run: refOf(run), ...(replyTo !== undefined && { replyTo }) }
    const channel = this.channel(place)
    if (files && channel) {
      await this.say(place, {
        type: 'fetch',
        id: `${run.metadata.uid}-files`,
        ...about,
        files,
        limits: limitsOf(channel),
        room: await this.#room.toBring(run),
      })
    }
    await this.say(place, { type: 'turn', id: `${run.metadata.uid}-turn`, ...about })
  }
}

/** What a channel finds the text of a run by. */
export function refOf({ metadata }: AgentRun): { uid: string; name: string } {
  return { uid: metadata.uid ?? '', name: metadata.name }
}

/** An id of ours from one of a service, which may be as long as ours and hold anything. */
function hash(id: string): string {
  return createHash('sha256').update(id).digest('hex')
}
