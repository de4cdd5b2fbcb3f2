import * as z from 'zod'

/** What Discord sends, of which only what is used is looked at (https://docs.discord.com/developers/resources/message). */
export const snowflake = z.string().regex(/^[1-9]\d{0,19}$/)

export const user = z.object({
  id: snowflake,
  username: z.string(),
  global_name: z.string().nullish(),
  bot: z.boolean().optional(),
})
export type User = z.infer<typeof user>

export const message = z.object({
  id: snowflake,
  channel_id: snowflake,
  guild_id: snowflake.nullish(),
  author: user,
  webhook_id: snowflake.nullish(),
  type: z.int(),
  content: z.string(),
  timestamp: z.iso.datetime({ offset: true }),
  mentions: z.array(user).default([]),
  attachments: z
    .array(
      z.object({
        id: snowflake.optional().catch(undefined),
        filename: z.string(),
        content_type: z.string().nullish(),
        size: z.int().min(0).catch(0),
        url: z.url().max(1900).optional().catch(undefined),
      }),
    )
    .default([]),
  referenced_message: z.object({ author: z.object({ id: snowflake }) }).nullish(),
  message_reference: z.object({ type: z.int().default(0) }).nullish(),
})
export type Message = z.infer<typeof message>

export const channel = z.object({
  id: snowflake,
  type: z.int(),
  parent_id: snowflake.nullish(),
  last_message_id: snowflake.nullish(),
})
export type Channel = z.infer<typeof channel>

export const guild = z.object({
  id: snowflake,
  channels: z.array(channel).default([]),
  threads: z.array(channel).default([]),
})

/** A server that is away, or that the bot was taken out of. */
export const gone = z.object({ id: snowflake, unavailable: z.boolean().default(false) })

export const ready = z.object({ guilds: z.array(z.object({ id: snowflake })).default([]) })

/** A slash command: https://docs.discord.com/developers/interactions/receiving-and-responding. */
export const interaction = z.object({
  id: snowflake,
  application_id: snowflake,
  type: z.literal(2),
  token: z.string().regex(/^[\w-]{1,1024}$/),
  guild_id: snowflake.nullish(),
  channel,
  user: user.nullish(),
  member: z.object({ user }).nullish(),
  app_permissions: z
    .string()
    .regex(/^\d{1,40}$/)
    .default('0'),
  data: z.object({
    name: z.string().regex(/^[a-z]{1,32}$/),
    options: z.array(z.object({ name: z.string(), value: z.unknown() })).default([]),
  }),
})
export type Interaction = z.infer<typeof interaction>

/** A button, a form: nothing that the channel has given anybody. */
export const otherInteraction = z.object({ type: z.int().refine((type) => type !== 2) })

const threadTypes = new Set([10, 11, 12])
export const isThread = ({ type }: Channel) => threadTypes.has(type)
const textTypes = new Set([0, 1, 2, 5, 10, 11, 12, 13])
/** Whether messages can be in it. */
export const hasText = ({ type }: Channel) => textTypes.has(type)

const discordEpoch = 1_420_070_400_000
/** The least id that Discord could have given at a time. */
export const snowflakeAt = (ms: number) => (BigInt(Math.max(0, ms - discordEpoch)) << 22n).toString()
export const timeOf = (id: string) => Number(BigInt(id) >> 22n) + discordEpoch
export const later = (a: string, b: string) => (BigInt(a) > BigInt(b) ? a : b)
