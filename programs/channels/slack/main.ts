/**
 * The channel for Slack: one app in one workspace, in its direct messages, channels and threads, over Socket Mode or
 * called over HTTP. It promises that a message is on the bus before Slack is told that it was taken, that what Slack's
 * history has of the time when the channel was away is asked for, that a conversation in a channel stays in its thread, and
 * that what is said unfurls no page and calls nobody; it refuses what is not signed, what is older than five minutes, edits
 * as anybody's word, and webhooks as anybody.
 */
import { runChannel } from '../frame/index.ts'
import { Slack } from './service.ts'
import { variables } from './settings.ts'

await runChannel({
  type: 'slack',
  variables,
  token: (read) => read.SLACK_BOT_TOKEN,
  service: (read) => new Slack(read),
})
