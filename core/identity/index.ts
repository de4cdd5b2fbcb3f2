/**
 * Who somebody is, as keys and signed words: bus users with the exact subjects they may use, run tokens, and the
 * request by which a projected token is traded for both. It promises that whatever it signs names one identity with
 * an end in time; it refuses to decide who deserves one, which is the identity endpoint's work.
 */
export { type BusKeys, mintBusKeys, readBusKeys, type SigningKeys } from './bus-keys.ts'
export {
  type ChannelAddress,
  channelConsumer,
  channelConsumerInfo,
  channelOfSubject,
  channelSubjects,
  hashKey,
  pairingSubject,
} from './channel-subjects.ts'
export { type IdentityRequest, type IdentityResponse, identityRequest, identityResponse } from './exchange.ts'
export { type FileSource, fileSubjects, filesOfNamespace, runFiles, runOfChunk } from './file-subjects.ts'
export { type BusUserRequest, signBusUser } from './nats-jwt.ts'
export { createUserKey, type Nkey, publicKeyOf, signWithSeed } from './nkey.ts'
export {
  type BusIdentity,
  type BusPermissions,
  busPermissions,
  inboxPrefix,
  runConsumerInfo,
  runConsumers,
} from './permissions.ts'
export { type RunClaims, signRunToken, verifyRunToken } from './run-token.ts'
export { sameSecret } from './same-secret.ts'
export {
  type InstanceAddress,
  type PolicyAddress,
  policyOfSubject,
  policySubjects,
  type RunAddress,
  runSubjects,
} from './subjects.ts'
