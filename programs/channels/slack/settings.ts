import * as z from 'zod'
import { httpUrl } from '#core/settings'
import { secretVariable } from '../frame/index.ts'

/** The keys of the channel's Secret: the bot's token, and how Slack delivers, which is one of two ways or both. */
export const variables = z
  .object({
    SLACK_BOT_TOKEN: secretVariable.regex(/^xox[be][-.]/, 'must be a bot token of Slack: xoxb-...'),
    /** For Socket Mode: connections from here to Slack. */
    SLACK_APP_TOKEN: secretVariable.regex(/^xapp-/, 'must be an app-level token of Slack: xapp-...').optional(),
    /** For signed requests from Slack to the channel's `/webhook`. */
    SLACK_SIGNING_SECRET: secretVariable.min(16, 'must be as Slack shows it under Basic Information').optional(),
    SLACK_API_URL: httpUrl.default('https://slack.com/api/'),
  })
  .refine((read) => read.SLACK_APP_TOKEN !== undefined || read.SLACK_SIGNING_SECRET !== undefined, {
    path: ['SLACK_APP_TOKEN'],
    message: 'or SLACK_SIGNING_SECRET must be there: without either nothing is received',
  })

export type Variables = z.output<typeof variables>
