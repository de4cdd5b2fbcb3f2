import * as z from 'zod'
import type { Bus } from '#core/bus'
import { findPairing, type Pairing, takePairing } from '#core/channels'
import { ClawError, isClawError } from '#core/errors'
import { type ClawInstance, clawInstances, dnsLabel } from '#core/kinds'
import type { Kube } from '#core/kube'
import { authorize } from '../callers.ts'
import { type Api, serve } from '../openapi/route.ts'
import { inNamespace } from '../openapi/schemas.ts'

export interface ChannelRouteOptions {
  kube: Kube
  bus: () => Bus | undefined
}

const pairRequest = z
  .strictObject({
    code: z.string().min(1).max(64).describe('What the stranger was told, however it is written.'),
    instance: dnsLabel.optional().describe('The code must be of this instance.'),
    channel: dnsLabel.optional().describe('The code must be of this channel.'),
  })
  .meta({ id: 'PairRequest' })
const paired = z.object({
  instance: z.string(),
  channel: z.string(),
  sender: z.object({ id: z.string(), name: z.string().describe('As they call themselves.') }),
})

/** How often a change of the instance by somebody else meanwhile is met with another try. */
const tries = 5

/** Strangers who wrote to a bot are let in, by whoever may change the instance and with their rights. */
export function serveChannels(api: Api, { kube, bus }: ChannelRouteOptions): void {
  serve(
    api,
    {
      ...{ method: 'post', path: '/api/v1/namespaces/{ns}/channels/pair', operationId: 'pairChannel', tag: 'Channel' },
      summary: 'Lets in the stranger who was given a code',
      params: inNamespace,
      body: pairRequest,
      answers: { 200: { description: 'Who may speak there now', schema: paired } },
    },
    async ({ params: { ns: namespace }, body: { code: written, instance: name, channel } }, c) => {
      const token = c.get('token')
      // First, so that who may let nobody in cannot find out which codes there are.
      const question = { verb: 'patch', resource: clawInstances, namespace, ...(name !== undefined && { name }) }
      await authorize(kube, token, question)
      const open = bus()
      if (!open) throw new ClawError('unavailable', 'the bus is not reachable yet')
      const code = written.toUpperCase().replaceAll(/[\s-]/g, '')
      const wish = await findPairing(open, namespace, code)
      if (!wish || (name ?? wish.instance) !== wish.instance || (channel ?? wish.channel) !== wish.channel) {
        throw new ClawError('not_found', 'this code is not known, or no longer', { field: 'code' })
      }
      await letIn(kube.withToken(token), wish)
      await takePairing(open, namespace, code)
      return c.json({ instance: wish.instance, channel: wish.channel, sender: wish.sender })
    },
  )
}

/** Adds the sender to the list of the channel. A code that comes twice at the same time lets the same person in. */
async function letIn(as: Kube, { namespace, instance, channel, sender }: Pairing): Promise<void> {
  const at = { namespace, name: instance }
  for (let left = tries; ; left--) {
    const { metadata, spec } = await as.get<ClawInstance>(clawInstances, at)
    const present = spec.channels?.find(({ name }) => name === channel)
    if (!present) throw new ClawError('not_found', `the instance ${instance} has no channel ${channel} any more`)
    const { access } = present
    const { allow = [] } = access
    if (allow.includes(sender.id)) return
    const channels = spec.channels?.map((one) =>
      one === present ? { ...one, access: { ...access, allow: [...allow, sender.id] } } : one,
    )
    try {
      await as.patch(clawInstances, at, { metadata: { resourceVersion: metadata.resourceVersion }, spec: { channels } })
      return
    } catch (error) {
      if (!isClawError(error, 'conflict') || left <= 1) throw error
    }
  }
}
