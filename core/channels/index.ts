/**
 * What passes between the platform and a chat channel: messages of people, what is to be said to them, and how the
 * service is. It promises that every string, list and number is bounded and nothing unknown passes; it refuses to know
 * any one service.
 */
export {
  type Attachment,
  attachment,
  type Health,
  health,
  maxAttachments,
  maxId,
  maxText,
  type Pairing,
  pairing,
  type Received,
  received,
  type SendItem,
  sendItem,
} from './messages.ts'
