import type { Bus } from '#core/bus'
import { getSent, putSent } from '#core/channels'
import { ClawError, isClawError } from '#core/errors'
import type { ChannelAddress } from '#core/identity'
import type { Memory } from './port.ts'

export interface MemoryOptions {
  bus: Bus
  channel: ChannelAddress
  signal: AbortSignal
}

/** Beside what was said, under ids that no item has. */
const keyOf = (name: string) => `memory/${name}`

/** What a service knows again after a restart. */
export function memoryOf({ bus, channel, signal }: MemoryOptions): Memory {
  return {
    async recall(name) {
      while (!signal.aborted) {
        try {
          return (await getSent(bus, channel, keyOf(name)))?.messages
        } catch (error) {
          // A bus that is away says nothing of the service.
          if (!isClawError(error, 'unavailable')) throw error
          await new Promise((resolve) => setTimeout(resolve, 500))
        }
      }
      throw new ClawError('unavailable', 'the channel stops')
    },
    async remember(name, words) {
      await putSent(bus, channel, keyOf(name), { messages: [...words], done: false }, { signal })
    },
  }
}
