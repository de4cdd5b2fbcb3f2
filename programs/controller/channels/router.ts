import type { Received } from '#core/channels'
import type { AgentRun } from '#core/kinds'
import type { Informer } from '#core/kube'
import type { Conversations } from './conversations.ts'
import type { Taken } from './inbox.ts'
import { Pace } from './limits.ts'
import { messagesTaken } from './metrics.ts'
import type { Outbox } from './outbox.ts'
import { sentences } from './sentences.ts'
import { channelKey, type Strangers } from './strangers.ts'
import { type Step, takeTurn } from './take-turn.ts'
import { messageKey, type Place, turnOf } from './turn.ts'

export interface RouterOptions {
  conversations: Conversations
  strangers: Strangers
  outbox: Outbox
  /** With the index `message`: runs by the messages that they hold. */
  runs: Informer<AgentRun>
  pace?: Pace
}

/** Decides about each message as it comes, and hands it to whoever does what was decided. */
export class Router {
  readonly #options: RouterOptions
  readonly #pace: Pace

  constructor(options: RouterOptions) {
    this.#options = options
    this.#pace = options.pace ?? new Pace()
  }

  take(one: Taken): void {
    const { channel, message } = one
    const { conversations, outbox, runs, strangers } = this.#options
    const place = { ...channel, chat: message.chat.id, thread: message.thread }
    const holders = runs.byIndex('message', messageKey(channel, message.id))
    const holder = holders.find((run) => turnOf(run)?.messages.includes(message.id))
    if (holder) {
      // A process of before was killed in the midst of it, or its service delivers again what it delivered long ago.
      messagesTaken.add({ step: 'known' })
      conversations.do(place, one, () => outbox.announce(holder))
      return
    }
    // As the instance has it now: who is let in, or shut out, is so with the next message.
    const settings = outbox.channel(channel)
    if (!settings) {
      messagesTaken.add({ step: 'no channel' })
      one.settle()
      return
    }
    if (holders.length > 0) {
      // It was handed to a run by a process of before; whether it was taken is seen when that is over.
      messagesTaken.add({ step: 'known' })
      conversations.wait(place, one, { text: message.text.trim(), anew: false })
      return
    }
    const access = { ...settings.access, allow: settings.access.allow ?? [] }
    const step = takeTurn(access, message, {
      pace: this.#pace.take(`${channelKey(channel)}/${message.sender.id}`, one.at),
      answered: strangers.answered(channel, message.sender.id),
      room: conversations.hasRoom(place),
    })
    messagesTaken.add({ step: step.do })
    this.#perform(place, one, step)
  }

  #perform(place: Place, one: Taken, step: Step): void {
    const { conversations, strangers, outbox } = this.#options
    const { message, settle } = one
    const { sender } = message
    switch (step.do) {
      case 'ignore':
        settle()
        return
      case 'turn':
        conversations.wait(place, one, step)
        return
      case 'command':
        conversations.do(place, one, async () => {
          await outbox.answer(place, message, await conversations.command(place, step.command, one))
        })
        return
      case 'refuse':
        if (step.why === 'stranger') strangers.answer(place, sender.id)
        conversations.do(place, one, () => outbox.answer(place, message, refusal(step.why, sender)))
        return
      case 'pair':
        strangers.answer(place, sender.id)
        conversations.do(place, one, async () => {
          const code = await strangers.codeFor(place, message)
          const text = code === undefined ? sentences.tooManyStrangers : sentences.pair(code, place)
          await outbox.answer(place, message, text)
        })
        return
    }
  }
}

function refusal(why: Extract<Step, { do: 'refuse' }>['why'], { id }: Received['sender']): string {
  if (why === 'stranger') return sentences.stranger(id)
  return why === 'too fast' ? sentences.tooFast : sentences.noRoom
}
