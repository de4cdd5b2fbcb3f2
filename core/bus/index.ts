/**
 * The bus: one connection that outlives restarts of the bus and of its credentials, acknowledged publishing, pulled
 * consumers, the streams and consumers that the controller makes, and the policies in force. It promises that what it
 * reports as published is stored, and that a consumer filters by one subject, as the server itself says; it refuses to
 * know what messages mean.
 */
export { type Bus, type BusCredentials, type BusOptions, connectBus } from './bus.ts'
export { consumerOfChannel, ensureChannelConsumer, forgetChannel } from './channel-consumers.ts'
export { type BusMessage, consume, consumeOwn, heldByOthers, readPending } from './consume.ts'
export { isKept, type Kept, storeKept } from './kept.ts'
export { directGet, directGetBytes } from './keys.ts'
export { listen } from './listen.ts'
export { forgetPolicy, storedPolicies, storePolicy, watchPolicies, watchPolicy } from './policies.ts'
export { type Published, type PublishOptions, publish, publishBytes, send } from './publish.ts'
export { type ConsumerName, consumerOfRun, consumerState } from './pull.ts'
export { recordedRuns } from './recorded-runs.ts'
export {
  deleteRunConsumers,
  ensureConsumer,
  ensureRunConsumers,
  ensureStreams,
  purgeFiles,
  purgeRun,
} from './streams.ts'
export { subjectCounts } from './subject-counts.ts'
export { lastMessage, streamCreated, type Tail, tail } from './tail.ts'
export { type IdentitySource, type TradedIdentity, type TradeOptions, tradeIdentity } from './trade.ts'
