/**
 * The four kinds, from one zod source: types, defaults, validation, and the CRDs under config/crd/bases. It promises
 * that what passes a schema here passes the CRD and the other way round; it refuses to know how anything is enforced.
 */
export {
  type AgentRun,
  type AgentRunSpec,
  type AgentRunStatus,
  agentRunSpec,
  agentRunStatus,
  type Bounds,
  type Effective,
  effective,
  isTerminal,
  maxStatusResultBytes,
  maxTaskLength,
  type Phase,
  phases,
  type Usage,
  usage,
} from './agent-run.ts'
export {
  type Channel,
  type ChannelStatus,
  type ChannelType,
  channelTypes,
} from './channel.ts'
export {
  type Agent,
  type ClawInstance,
  type ClawInstanceSpec,
  type ClawInstanceStatus,
  clawInstanceSpec,
  clawInstanceStatus,
  type MemoryScope,
  type Model,
  type SkillRef,
  type Subagents,
  subagents,
} from './claw-instance.ts'
export {
  type ClawPolicy,
  type ClawPolicySpec,
  clawPolicySpec,
  clawPolicyStatus,
  defaultPolicyName,
  type FeatureGate,
  featureGates,
  restrictedPolicy,
  subagentPolicy,
} from './claw-policy.ts'
export { customResourceDefinitions } from './crd.ts'
export { type ImageParts, imageParts, imageReference, imageSource } from './image.ts'
export {
  type Condition,
  dnsLabel,
  durationSeconds,
  type KubeObject,
  type ObjectMeta,
  type OwnerReference,
  rfc3339,
  storable,
  type Unborn,
  withCondition,
} from './meta.ts'
export { newRun, type WantedRun } from './new-run.ts'
export {
  type DecidedResources,
  exceeds,
  type Quantity,
  quantityValue,
  type ResourceWishes,
  smallest,
} from './quantity.ts'
export {
  agentRuns,
  apiVersion,
  clawInstances,
  clawPolicies,
  memories,
  type Resource,
  sessions,
  skillPacks,
  usageReports,
} from './resources.ts'
export {
  maxPackBytes,
  type SkillPack,
  type SkillPackSpec,
  type SkillPackStatus,
  skillPackSpec,
  skillPackStatus,
} from './skill-pack.ts'
export { parseSpec } from './validation.ts'
