import * as z from 'zod'
import { httpUrl } from '#core/settings'
import { secretVariable } from '../frame/index.ts'

/** The keys of the channel's Secret. The number's id becomes part of addresses, so it holds digits alone. */
export const variables = z.object({
  WHATSAPP_ACCESS_TOKEN: secretVariable,
  WHATSAPP_PHONE_NUMBER_ID: secretVariable.regex(/^\d{5,32}$/, 'must be the id of the number: digits'),
  /** What Meta signs its calls with. */
  WHATSAPP_APP_SECRET: secretVariable.min(16, 'must be as Meta shows it under App settings, Basic'),
  /** What Meta says once, when the webhook is set up. */
  WHATSAPP_VERIFY_TOKEN: secretVariable.min(8, 'must be 8 characters or more'),
  /** What is said to who has not written for 24 hours: a template without variables, and its language. */
  WHATSAPP_TEMPLATE: z
    .string()
    .regex(/^[a-z0-9_]{1,512}:[a-z]{2,3}(?:_[A-Z]{2})?$/, 'must be the name of a template and its language: name:en_US')
    .transform((text) => {
      const [name = '', language = ''] = text.split(':')
      return { name, language }
    })
    .optional(),
  WHATSAPP_API_URL: httpUrl.default('https://graph.facebook.com/v23.0'),
})

export type Variables = z.output<typeof variables>
export type Template = NonNullable<Variables['WHATSAPP_TEMPLATE']>
