import type { Bus } from '#core/bus'
import { getSent, putSent, type SendItem, type Sent, sentOfRun, type Taken } from '#core/channels'
import { errorMessage } from '#core/errors'
import { cleanName, type FileRef, getFile } from '#core/files'
import { type ChannelAddress, hashKey } from '#core/identity'
import type { Bringer } from './bringer.ts'
import type { Caller } from './caller.ts'
import { leftOutSentence, notHandedSentence } from './file-sentences.ts'
import { files, said } from './metrics.ts'
import type { Place, TextFormat } from './port.ts'
import { Preview } from './preview.ts'
import { isRefusal } from './service-error.ts'

export interface SpeakerOptions {
  bus: Bus
  channel: ChannelAddress
  caller: Caller
  bringer: Bringer
  format: TextFormat
  /** Nothing is remembered any more. */
  ended: AbortSignal
}

type Turn = Extract<SendItem, { type: 'turn' }>
type Reply = Extract<SendItem, { type: 'reply' }>
type Fetch = Extract<SendItem, { type: 'fetch' }>
type Notice = Extract<SendItem, { type: 'notice' }>

interface Shown {
  preview: Preview
  done: () => void
}

/**
 * Says what the platform wants said, once. What the service has accepted is remembered on the bus before the item counts
 * as said: of an item that comes again only the rest is said. `say` resolves when the item is done with, `turn` only once
 * its reply is, or nobody is waiting any more.
 */
export class Speaker {
  readonly #options: SpeakerOptions
  readonly #shown = new Map<string, Shown>()

  constructor(options: SpeakerOptions) {
    this.#options = options
  }

  async say({ value: item }: Pick<Taken<SendItem>, 'value'>, done: () => void): Promise<void> {
    const memory = item.type === 'notice' || item.type === 'fetch' ? item.id : sentOfRun(item.run.uid)
    const before = await this.#before(memory)
    if (before.done) {
      said.add({ type: item.type, result: 'repeated' })
      done()
      if (item.type === 'reply') await this.#endPreview(item.run.uid)
      return
    }
    if (item.type === 'turn') return this.#begin(item, memory, before, done)
    const result = await this.#sayNow(item, memory, before)
    said.add({ type: item.type, result })
    done()
  }

  /** Ends all previews; what they showed stays. */
  async close(): Promise<void> {
    await Promise.all([...this.#shown.values()].map(({ preview }) => preview.end()))
  }

  async #endPreview(uid: string): Promise<string | undefined> {
    const shown = this.#shown.get(uid)
    this.#shown.delete(uid)
    const message = await shown?.preview.end()
    shown?.done()
    return message
  }

  #begin(item: Turn, memory: string, { messages }: Sent, done: () => void): void {
    const { bus, channel, caller, format } = this.#options
    const { uid } = item.run
    if (this.#shown.has(uid)) {
      done()
      return
    }
    const preview = new Preview({
      ...{ bus, channel, caller, format, run: item.run, place: placeOf(item), replyTo: item.replyTo },
      message: messages[0],
      key: keyOfFirst(memory),
      onPosted: (message) => this.#remember(memory, { messages: [message], done: false }),
    })
    this.#shown.set(uid, { preview, done })
    setTimeout(() => void this.#endPreview(uid), longestPreviewMs).unref()
  }

  async #sayNow(item: Notice | Reply | Fetch, memory: string, before: Sent): Promise<Result> {
    switch (item.type) {
      case 'reply':
        return await this.#reply(item, memory, before)
      case 'notice':
        return await this.#sayPieces(item, memory, item.text, [...before.messages])
      case 'fetch': {
        const brought = await this.#options.bringer.bring(item)
        return await this.#sayPieces(item, memory, leftOutSentence(brought), [...before.messages])
      }
    }
  }

  async #reply(item: Reply, memory: string, before: Sent): Promise<Result> {
    const { caller, format } = this.#options
    const shown = this.#shown.get(item.run.uid)
    const shownBy = await shown?.preview.end()
    // What was said of this very reply before a restart is more than what shows the run.
    const messages = before.messages.length > 0 ? [...before.messages] : [shownBy ?? []].flat()
    const [first] = messages
    const key = first === undefined ? keyOfFirst(memory) : undefined
    if (first !== undefined && caller.edits) {
      const [piece] = format.pieces(item.text)
      try {
        if (piece) await caller.edit(placeOf(item), first, piece)
      } catch (error) {
        if (!isRefusal(error, 'message') && !isRefusal(error, 'never')) throw error
        messages.length = 0
      }
    }
    const result = await this.#sayPieces(item, memory, item.text, messages, key)
    await this.#endPreview(item.run.uid)
    return result
  }

  /** Says the pieces of a text, and hands over what goes with it, behind what was said; and remembers each. */
  async #sayPieces(
    item: Notice | Reply | Fetch,
    memory: string,
    text: string,
    messages: string[],
    keyOfFirstPiece?: string,
  ): Promise<Result> {
    const { bus, caller, format } = this.#options
    const pieces = format.pieces(text)
    const handed = item.type === 'reply' ? (item.files ?? []) : []
    const count = pieces.length + handed.length
    try {
      for (let at = messages.length; at < count; at++) {
        const key = (at === 0 && keyOfFirstPiece) || hashKey(`${item.id}/${at}`)
        const options = { key, replyTo: at === 0 ? item.replyTo : undefined }
        const piece = pieces[at]
        const file = handed[at - pieces.length]
        if (piece) messages.push(await caller.post(placeOf(item), piece, options))
        else if (file && item.type === 'reply') messages.push(await this.#handOver(item, file, options))
        if (at < count - 1) await this.#remember(memory, { messages, done: false })
      }
    } catch (error) {
      if (!isRefusal(error, 'never')) throw error
      bus.log.warn({ type: item.type, reason: error.reason, error: errorMessage(error) }, 'never to be said')
      await this.#remember(memory, { messages, done: true })
      return 'never'
    }
    await this.#remember(memory, { messages, done: true })
    return 'said'
  }

  /** Posts a file, or a sentence that says why not: for the file alone, since what was said stands. */
  async #handOver(item: Reply, file: FileRef, options: { key: string; replyTo: string | undefined }): Promise<string> {
    const { bus, channel, caller, format } = this.#options
    const name = cleanName(file.name)
    const bytes = await getFile(bus, { ...channel, uid: item.run.uid }, 'agent', file)
    if (bytes) {
      try {
        const message = await caller.sendFile(placeOf(item), { name, type: file.type, bytes }, options)
        files.add({ direction: 'out', result: 'handed' })
        return message
      } catch (error) {
        if (!isRefusal(error, 'never')) throw error
        bus.log.warn({ reason: error.reason, error: errorMessage(error) }, 'file not handed over')
      }
    }
    files.add({ direction: 'out', result: bytes ? 'refused' : 'gone' })
    const [piece = { text: name, plain: name }] = format.pieces(notHandedSentence(name, bytes !== undefined))
    return await caller.post(placeOf(item), piece, options)
  }

  async #before(memory: string): Promise<Sent> {
    const { bus, channel } = this.#options
    return (await getSent(bus, channel, memory)) ?? { messages: [], done: false }
  }

  async #remember(memory: string, { messages, done }: Sent): Promise<void> {
    const { bus, channel, ended } = this.#options
    await putSent(bus, channel, memory, { messages: messages.slice(0, maxRemembered), done }, { signal: ended })
  }
}

type Result = 'said' | 'never'

/** Nobody sits before a chat for longer, and the bus holds a turn for as long as it is shown. */
const longestPreviewMs = 60 * 60_000
const maxRemembered = 256

/** One key for the first message about a run, whether it shows how it goes or the reply: only one of them is to stand. */
function keyOfFirst(memory: string): string {
  return hashKey(`${memory}/first`)
}

function placeOf({ chat, thread }: SendItem): Place {
  return { chat: chat.id, thread }
}
