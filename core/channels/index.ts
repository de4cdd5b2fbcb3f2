/**
 * What passes over the bus between the platform and its chat channels: messages of people, what is to be said to them,
 * what was said, how the services are, and strangers who want in. It promises that every string, list and number is
 * bounded and nothing unknown passes; it refuses to know any one service.
 */
export { beganAnew, beginAnew } from './anew.ts'
export { lastHealth, receivedMessages, routerConsumer, sendItems, type Taken } from './consume.ts'
export {
  type Attachment,
  attachment,
  type Health,
  health,
  maxAttachments,
  maxId,
  maxText,
  type Pairing,
  type Received,
  received,
  type SendItem,
  sendItem,
} from './messages.ts'
export { findPairing, storedPairings, storePairing, takePairing } from './pairing.ts'
export { publishHealth, publishReceived, publishSend } from './publish.ts'
export { getSent, putSent, type Sent, sentOfRun, wasSaid } from './sent.ts'
