import { createHmac } from 'node:crypto'
import type { Bus } from '#core/bus'
import { publishReceived, received as receivedSchema } from '#core/channels'
import { type ChannelAddress, channelSubjects } from '#core/identity'
import type { HealthBoard } from './health.ts'
import { received } from './metrics.ts'
import type { Host } from './port.ts'

export interface HostOptions {
  bus: Bus
  channel: ChannelAddress
  health: HealthBoard
  /** The bot's token: what no other channel knows. */
  secret: string
  signal: AbortSignal
}

/** Where a service hands over what it hears. */
export function hostOf({ bus, channel, health, secret, signal }: HostOptions): Host {
  const { received: subject } = channelSubjects(channel)
  return {
    log: bus.log,
    health: (word) => health.receiving(word),
    malformed() {
      bus.log.debug('delivery of another form than is documented')
      received.add({ result: 'malformed' })
    },
    async received(message) {
      const parsed = receivedSchema.safeParse(message)
      if (!parsed.success) {
        // Its field and not its content, which is a person's.
        const fields = parsed.error.issues.slice(0, 4).map(({ path, code }) => `${path.join('.')}: ${code}`)
        bus.log.warn({ fields }, 'message refused')
        received.add({ result: 'refused' })
        return
      }
      const id = createHmac('sha256', secret).update(`${subject}/${parsed.data.id}`).digest('base64url')
      const { duplicate } = await publishReceived(bus, channel, parsed.data, { id, signal })
      received.add({ result: duplicate ? 'duplicate' : 'stored' })
    },
  }
}
