/**
 * The channel for Discord: one bot, in its direct messages, the channels of its servers and their threads. It promises
 * that what Discord delivers is on the bus before it counts as heard, that what Discord still has of the time when the
 * channel was away is asked for, and that what is said calls nobody and shows no page; it refuses what webhooks say.
 */
import { runChannel } from '../frame/index.ts'
import { Discord } from './service.ts'
import { variables } from './settings.ts'

await runChannel({
  type: 'discord',
  variables,
  token: (read) => read.DISCORD_BOT_TOKEN,
  service: (read) => new Discord(read),
})
