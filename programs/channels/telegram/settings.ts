import * as z from 'zod'
import { httpUrl } from '#core/settings'
import { secretVariable } from '../frame/index.ts'

/** The keys of the channel's Secret. The token becomes part of addresses, so it may hold nothing that changes one. */
export const variables = z
  .object({
    TELEGRAM_BOT_TOKEN: secretVariable.regex(/^\d{1,20}:[\w-]{1,128}$/, 'must be as BotFather gave it: 123456:ABC...'),
    /** Where Telegram calls the channel; without it the channel asks. */
    TELEGRAM_WEBHOOK_URL: httpUrl.optional(),
    TELEGRAM_WEBHOOK_SECRET: secretVariable
      .regex(/^[\w-]{16,256}$/, 'must be 16 to 256 letters, digits, _ and -')
      .optional(),
    TELEGRAM_API_URL: httpUrl.default('https://api.telegram.org'),
  })
  .refine((read) => (read.TELEGRAM_WEBHOOK_URL === undefined) === (read.TELEGRAM_WEBHOOK_SECRET === undefined), {
    path: ['TELEGRAM_WEBHOOK_SECRET'],
    message: 'goes with TELEGRAM_WEBHOOK_URL: both or neither',
  })

export type Variables = z.output<typeof variables>
