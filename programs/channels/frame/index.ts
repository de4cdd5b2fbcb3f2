/**
 * What the channels have in common: everything but their service. It promises that a message of a person is on the bus
 * before the service is told that it was taken, that what the platform wants said is said in the order of its
 * conversation and remembered as said, and that status shows what the service itself last answered. It refuses to know
 * any one service: those implement `ChatService`.
 */

export { InTime } from './in-time.ts'
export { openFile } from './open-file.ts'
export type {
  ChatService,
  HandedFile,
  Host,
  Memory,
  Place,
  PostOptions,
  Rendered,
  TextFormat,
  WebhookAnswer,
  WebhookRequest,
} from './port.ts'
export { type ChannelProgram, runChannel } from './run-channel.ts'
export { isRefusal, type Refusal, ServiceError } from './service-error.ts'
export { secretVariable } from './settings.ts'
