/**
 * The channel for Telegram: one bot, in its direct chats, groups and topics. It promises that a message is on the bus
 * before Telegram is told that it was taken, and that what is said shows no preview of any page; it refuses what others
 * composed (forwards, inline bots) as anybody's word, and a webhook without its secret.
 */
import { runChannel } from '../frame/index.ts'
import { Telegram } from './service.ts'
import { variables } from './settings.ts'

await runChannel({
  type: 'telegram',
  variables,
  token: (read) => read.TELEGRAM_BOT_TOKEN,
  service: (read) => new Telegram(read),
})
