/**
 * The channel for WhatsApp: one business number of the Cloud API, called by Meta at `/webhook`. It promises that a message
 * is on the bus before Meta is told that it was taken, and that outside the 24 hours in which WhatsApp lets a business
 * write, a person gets one approved template or the status says why nothing was said; it refuses what Meta has not
 * signed, other numbers of the same app, and what is older than Meta would come again with.
 */
import { runChannel } from '../frame/index.ts'
import { WhatsApp } from './service.ts'
import { variables } from './settings.ts'

await runChannel({
  type: 'whatsapp',
  variables,
  token: (read) => read.WHATSAPP_ACCESS_TOKEN,
  service: (read) => new WhatsApp(read),
})
