import { randomInt } from 'node:crypto'
import type { Bus } from '#core/bus'
import { type Received, storedPairings, storePairing } from '#core/channels'
import { isClawError } from '#core/errors'
import type { ChannelAddress } from '#core/identity'
import type { ClawInstance } from '#core/kinds'
import { remember } from './limits.ts'
import type { Place } from './turn.ts'

/** As long as the bus keeps a code. */
const codeMs = 10 * 60_000
/** A stranger who goes on writing is answered again after this long. */
const answeredMs = 60_000
/** Of one channel at a time: nobody lets in more people in ten minutes, and codes stay hard to guess. */
const maxCodes = 100
/** Of one stranger at a time: the newest is told again, but by the process that gave it alone. */
const maxCodesOfOne = 3
/** Without what looks like something else when it is read out; 32 letters, five bits each. */
const alphabet = '23456789ABCDEFGHJKLMNPQRSTUVWXYZ'
const codeLength = 8

interface Asked {
  /** Where; not known of who asked a version that did not say so. */
  place: Place | undefined
  channel: string
  instance: string
  sender: string
  answeredAt: number
  /** The codes that were given; of those of an earlier process the text is not known any more. */
  codes: { text?: string; until: number }[]
}

/** Who asked to be let in, and the codes that were given for it: those that are good are on the bus, also after a restart. */
export class Strangers {
  readonly #bus: Bus
  readonly #now: () => number
  readonly #asked = new Map<string, Asked>()

  constructor(bus: Bus, now = () => performance.now()) {
    this.#bus = bus
    this.#now = now
  }

  /** Takes up what an earlier process knew. Call it before anything else. */
  async recall(signal: AbortSignal): Promise<void> {
    for (const { wish, at } of await storedPairings(this.#bus, signal)) {
      const { sender, chat, thread, ...channel } = wish
      const age = Math.min(Math.max(Date.now() - at.getTime(), 0), codeMs)
      const answeredAt = this.#now() - age
      const place = chat === undefined ? undefined : { ...channel, chat, thread }
      const before = this.#asked.get(keyOf(channel, sender.id))?.codes ?? []
      this.#remember(channel, sender.id, { place, answeredAt, codes: [...before, { until: answeredAt + codeMs }] })
    }
  }

  /** Whether this stranger was answered a moment ago. */
  answered(channel: ChannelAddress, sender: string): boolean {
    const asked = this.#asked.get(keyOf(channel, sender))
    return asked !== undefined && this.#now() - asked.answeredAt < answeredMs
  }

  /** Remembers that a stranger is answered now. */
  answer(place: Place, sender: string): void {
    const { codes = [] } = this.#asked.get(keyOf(place, sender)) ?? {}
    this.#remember(place, sender, { place, answeredAt: this.#now(), codes })
  }

  /** A code for this stranger, the one from before while it is good and known; undefined where too many are good. */
  async codeFor(place: Place, { sender }: Received): Promise<string | undefined> {
    const now = this.#now()
    const good = (this.#asked.get(keyOf(place, sender.id))?.codes ?? []).filter(({ until }) => until > now)
    const known = good.find(({ text }) => text !== undefined)?.text
    if (known !== undefined) return known
    if (good.length >= maxCodesOfOne || this.#codesOf(place, now) >= maxCodes) return undefined
    const text = await this.#newCode(place, sender)
    this.#remember(place, sender.id, { place, answeredAt: now, codes: [...good, { text, until: now + codeMs }] })
    return text
  }

  /** Where those may be told who asked, and whom the instance now lets in. */
  letIn({ metadata, spec }: ClawInstance): Place[] {
    const places: Place[] = []
    const instance = instanceKey(metadata.namespace ?? '', metadata.name)
    for (const [key, asked] of this.#asked) {
      if (asked.codes.length === 0 || asked.instance !== instance) continue
      const access = spec.channels?.find(({ name }) => name === asked.channel)?.access
      if (!access?.allow?.includes(asked.sender)) continue
      this.#asked.delete(key)
      if (asked.place) places.push(asked.place)
    }
    return places
  }

  #remember(
    at: ChannelAddress,
    sender: string,
    { place, answeredAt, codes }: Pick<Asked, 'place' | 'answeredAt' | 'codes'>,
  ): void {
    const { namespace, instance, channel } = at
    const where = { channel, instance: instanceKey(namespace, instance) }
    remember(this.#asked, keyOf(at, sender), { ...where, place, sender, answeredAt, codes })
  }

  async #newCode(
    { namespace, instance, channel, chat, thread }: Place,
    { id, name }: Received['sender'],
  ): Promise<string> {
    const where = { namespace, instance, channel, chat, ...(thread !== undefined && { thread }) }
    for (;;) {
      const code = Array.from({ length: codeLength }, () => alphabet[randomInt(alphabet.length)]).join('')
      try {
        await storePairing(this.#bus, code, { ...where, sender: { id, name } })
        return code
      } catch (error) {
        // Somebody else's: as likely as guessing it.
        if (!isClawError(error, 'conflict')) throw error
      }
    }
  }

  #codesOf({ namespace, instance, channel }: ChannelAddress, now: number): number {
    let count = 0
    for (const asked of this.#asked.values()) {
      if (asked.channel !== channel || asked.instance !== instanceKey(namespace, instance)) continue
      count += asked.codes.filter(({ until }) => until > now).length
    }
    return count
  }
}

/** Tells channels apart, also of two tenants. */
export function channelKey({ namespace, instance, channel }: ChannelAddress): string {
  return `${instanceKey(namespace, instance)}/${channel}`
}

function instanceKey(namespace: string, instance: string): string {
  return `${namespace}/${instance}`
}

function keyOf(channel: ChannelAddress, sender: string): string {
  return `${channelKey(channel)}/${sender}`
}
