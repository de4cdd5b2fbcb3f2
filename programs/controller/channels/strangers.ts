import { randomInt } from 'node:crypto'
import type { Bus } from '#core/bus'
import { type Received, storePairing } from '#core/channels'
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
/** Without what looks like something else when it is read out; 32 letters, five bits each. */
const alphabet = '23456789ABCDEFGHJKLMNPQRSTUVWXYZ'
const codeLength = 8

interface Asked {
  place: Place
  sender: string
  answeredAt: number
  code?: { text: string; until: number }
}

/** Who asked to be let in, and the codes that were given for it. After a restart strangers are answered again. */
export class Strangers {
  readonly #bus: Bus
  readonly #now: () => number
  readonly #asked = new Map<string, Asked>()

  constructor(bus: Bus, now = () => performance.now()) {
    this.#bus = bus
    this.#now = now
  }

  /** Whether this stranger was answered a moment ago. */
  answered(channel: ChannelAddress, sender: string): boolean {
    const asked = this.#asked.get(keyOf(channel, sender))
    return asked !== undefined && this.#now() - asked.answeredAt < answeredMs
  }

  /** Remembers that a stranger is answered now. */
  answer(place: Place, sender: string): void {
    const before = this.#asked.get(keyOf(place, sender))
    remember(this.#asked, keyOf(place, sender), { ...before, place, sender, answeredAt: this.#now() })
  }

  /** A code for this stranger, the one from before while it is good; undefined where too many have one. */
  async codeFor(place: Place, { sender }: Received): Promise<string | undefined> {
    const { namespace, instance, channel } = place
    const now = this.#now()
    const asked = this.#asked.get(keyOf(place, sender.id))
    if (asked?.code && asked.code.until > now) return asked.code.text
    if (this.#codesOf(place, now) >= maxCodes) return undefined
    const code = { text: await this.#newCode({ namespace, instance, channel }, sender), until: now + codeMs }
    remember(this.#asked, keyOf(place, sender.id), { place, sender: sender.id, answeredAt: now, code })
    return code.text
  }

  /** Where those may be told who asked, and whom the instance now lets in. */
  letIn({ metadata, spec }: ClawInstance): Place[] {
    const places: Place[] = []
    for (const [key, { place, sender, code }] of this.#asked) {
      if (!code || place.namespace !== metadata.namespace || place.instance !== metadata.name) continue
      const access = spec.channels?.find(({ name }) => name === place.channel)?.access
      if (!access?.allow?.includes(sender)) continue
      this.#asked.delete(key)
      places.push(place)
    }
    return places
  }

  async #newCode(channel: ChannelAddress, { id, name }: Received['sender']): Promise<string> {
    for (;;) {
      const code = Array.from({ length: codeLength }, () => alphabet[randomInt(alphabet.length)]).join('')
      try {
        await storePairing(this.#bus, code, { ...channel, sender: { id, name } })
        return code
      } catch (error) {
        // Somebody else's: as likely as guessing it.
        if (!isClawError(error, 'conflict')) throw error
      }
    }
  }

  #codesOf(channel: ChannelAddress, now: number): number {
    let count = 0
    for (const { place, code } of this.#asked.values()) {
      if (code && code.until > now && channelKey(place) === channelKey(channel)) count++
    }
    return count
  }
}

/** Tells channels apart, also of two tenants. */
export function channelKey({ namespace, instance, channel }: ChannelAddress): string {
  return `${namespace}/${instance}/${channel}`
}

function keyOf(channel: ChannelAddress, sender: string): string {
  return `${channelKey(channel)}/${sender}`
}
