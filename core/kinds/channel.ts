import * as z from 'zod'
import { dnsLabel, localRef, timestamp, unique, type ValidationRule } from './meta.ts'

export const channelTypes = ['telegram', 'slack', 'discord', 'whatsapp'] as const
export type ChannelType = (typeof channelTypes)[number]

const maxChannels = 16
const maxAllowed = 1000

/** As the service writes it, with the workspace where a service has them: `12345678`, `T0123/U0456`. */
const senderId = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[!-~]+$/, 'must be the id that the service gave, without spaces')

const access = z.strictObject({
  mode: z
    .enum(['pairing', 'allowlist', 'open'])
    .default('pairing')
    .describe('Who may speak: those of allow, beside whom pairing gives strangers a code; or everybody.'),
  allow: z
    .array(senderId)
    .max(maxAllowed)
    .refine((ids) => new Set(ids).size === ids.length, 'no sender may be listed twice')
    .optional()
    .describe('Ids of senders, which never change, and not their names; of Slack with the workspace, as T0123/U0456.')
    .meta({ 'x-kubernetes-list-type': 'set' }),
  groups: z
    .enum(['mention', 'always', 'never'])
    .default('mention')
    .describe('When a message in a group is for the agent: where it is spoken to, always, or never.'),
})

const files = z.strictObject({
  maxBytes: z
    .int()
    .min(0)
    .max(20 * 1024 * 1024)
    .optional()
    .describe('Largest file, in both directions; 20 MiB unless told. 0 takes and hands over none.'),
  types: z
    .array(
      z.string().regex(/^[a-z]{1,32}\/(\*|[a-z0-9][a-z0-9.+-]{0,126})$/, 'must be a media type or, as image/*, a kind'),
    )
    .max(64)
    .refine((types) => new Set(types).size === types.length, 'no type may be listed twice')
    .optional()
    .describe('Media types, by content, in both directions; docs/channels.md lists those that are taken unless told.')
    .meta({ 'x-kubernetes-list-type': 'set' }),
})

export const channel = z.strictObject({
  name: dnsLabel.describe('Stays as it is for as long as the channel does: conversations belong to it.'),
  type: z.enum(channelTypes),
  secretRef: localRef.describe('Secret of this namespace; its keys are the variables that docs/channels.md lists.'),
  access: access.prefault({}),
  files: files.optional().describe('Which files come in with messages, and go out with answers.'),
  whileRunning: z
    .enum(['wait', 'steer'])
    .optional()
    .describe(
      'What becomes of a message while a run of its conversation is at work: it waits for the next turn, as where nothing is said, or it is handed to the agent at its next step.',
    ),
})
export type Channel = z.infer<typeof channel>

/** CEL: services answer one of two that come with the same token. */
const oneBot: ValidationRule = {
  rule: 'self.all(a, self.exists_one(b, b.type == a.type && b.secretRef.name == a.secretRef.name))',
  message: 'no two channels of a type may have the same Secret',
}

export const channels = z
  .array(channel)
  .max(maxChannels)
  .superRefine(unique('name', ({ name }) => name))
  .superRefine((list, context) => {
    for (const [index, { type, secretRef }] of list.entries()) {
      const before = list.slice(0, index)
      if (before.some((other) => other.type === type && other.secretRef.name === secretRef.name))
        context.addIssue({ code: 'custom', path: [index, 'secretRef', 'name'], message: oneBot.message })
    }
  })
  .describe('Chat services at which people reach this instance, each by a bot of its own.')
  .meta({
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['name'],
    'x-kubernetes-validations': [oneBot],
  })

/** How a channel stands, as its service last answered and as Kubernetes runs it. */
export const channelStatus = z.object({
  name: dnsLabel,
  type: z.enum(channelTypes),
  state: z.enum(['Pending', 'Connected', 'Disconnected', 'Error']),
  reason: z.string().max(64),
  message: z.string().max(1024),
  lastHealthTime: timestamp.optional().describe('When it last said how its service is; written once a minute.'),
})
export type ChannelStatus = z.infer<typeof channelStatus>

export const channelStatuses = z
  .array(channelStatus)
  .max(maxChannels)
  .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] })
