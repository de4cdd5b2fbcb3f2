import * as z from 'zod'
import { httpUrl } from '#core/settings'
import { secretVariable } from '../frame/index.ts'

/** The keys of the channel's Secret. */
export const variables = z.object({
  DISCORD_BOT_TOKEN: secretVariable.regex(
    /^[\w-]{8,64}\.[\w-]{4,32}\.[\w-]{16,128}$/,
    "must be as the developer portal gave it: three parts with dots, without 'Bot'",
  ),
  DISCORD_API_URL: httpUrl.default('https://discord.com/api'),
  /** Where files lie: one at another place is not opened. */
  DISCORD_CDN_URL: httpUrl.default('https://cdn.discordapp.com'),
})

export type Variables = z.output<typeof variables>
